package detect

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Stage is a timed part of the work on a picture.
type Stage int

// The stages, in their order.
const (
	StageUpload   Stage = iota // copying the picture to the device
	StageRPN                   // finding the proposals, and copying them to the host
	StageCrop                  // cutting and resizing the boxes
	StageEncode                // embedding the crops
	StageRank                  // cosines, scores, top-k and suppression
	StageDownload              // copying the scores to the host
)

var stageNames = [6]string{"upload", "rpn", "crop", "encode", "rank", "download"}

// String returns the stage's name in JSON.
func (s Stage) String() string { return stageNames[s] }

// Timings are the times that each [Stage] of one picture took. Pictures that are
// processed together share the time of a stage: equally in StageRPN, and by their crops
// in StageCrop and StageEncode. A GPU continues working after a stage has ended, so that
// a stage that waits for it (StageRPN, StageDownload) includes that work. With
// Options.Synchronize each stage includes only its own.
type Timings [6]time.Duration

func (t *Timings) add(other Timings) {
	for stage, took := range other {
		t[stage] += took
	}
}

// MarshalJSON returns an object with the milliseconds of each stage by its name.
func (t Timings) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for stage, took := range t {
		ms, err := json.Marshal(float64(took.Microseconds()) / 1000)
		if err != nil {
			return nil, err
		}
		text = fmt.Appendf(text, "%q:%s,", Stage(stage), ms)
	}
	text[len(text)-1] = '}'
	return text, nil
}

// UnmarshalJSON reads milliseconds, to the microsecond. A missing stage is 0. A stage
// below 0 or above 366 days is an error.
func (t *Timings) UnmarshalJSON(data []byte) error {
	var stages map[string]json.RawMessage
	if err := json.Unmarshal(data, &stages); err != nil {
		return fmt.Errorf("timings: %w", err)
	}
	*t = Timings{}
	for stage, name := range stageNames {
		var ms float64
		if text := stages[name]; text != nil {
			if err := json.Unmarshal(text, &ms); err != nil {
				return fmt.Errorf("timings: %s: %w", name, err)
			}
		}
		if !(ms >= 0 && ms <= 366*24*3600e3) {
			return fmt.Errorf("timings: %s took %v ms; it must be 0 to a year", name, ms)
		}
		t[stage] = time.Duration(math.Round(ms*1000)) * time.Microsecond
	}
	return nil
}
