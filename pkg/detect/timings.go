package detect

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Stage is a part of a picture's way that is timed.
type Stage int

// The stages, in their order.
const (
	StageUpload   Stage = iota // the picture to the device
	StageRPN                   // the proposals, to the host
	StageCrop                  // cutting and resizing the boxes
	StageEncode                // embedding the crops
	StageRank                  // cosine, scores, top-k and suppression
	StageDownload              // the scores to the host
)

var stageNames = [6]string{"upload", "rpn", "crop", "encode", "rank", "download"}

// String returns the stage's name in JSON.
func (s Stage) String() string { return stageNames[s] }

// Timings are how long each [Stage] of one picture took. Pictures that share a batch share
// its time, by their crops. A GPU works on after a stage has ended, and a stage that waits
// for it (StageRPN, StageDownload) has its time too; with Options.Synchronize each stage
// has its own time alone.
type Timings [6]time.Duration

// add adds each stage of other.
func (t *Timings) add(other Timings) {
	for stage, took := range other {
		t[stage] += took
	}
}

// MarshalJSON writes an object of the stages' milliseconds by their names.
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

// UnmarshalJSON reads milliseconds, to the microsecond. A stage that is missing is 0. A
// stage that is negative or more than a year is an error.
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
