package detect

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Timings say how long the stages of one picture took. On a GPU, work goes on behind
// a stage's end, and a stage that waits for it (RPN, Download) is charged with it;
// with Options.Synchronize each stage is charged with its own work alone. Pictures that
// went together (Options.Pictures) have equal shares of what they took.
type Timings struct {
	Upload   time.Duration // picture to the device
	RPN      time.Duration // proposals, to the host
	Crop     time.Duration // cutting and resizing the boxes
	Encode   time.Duration // embedding the crops
	Rank     time.Duration // cosine, scores, top-k and NMS
	Download time.Duration // scores to the host
}

// MarshalJSON gives the stages in milliseconds.
func (t Timings) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.Marshal(struct {
		Upload   float64 `json:"upload"`
		RPN      float64 `json:"rpn"`
		Crop     float64 `json:"crop"`
		Encode   float64 `json:"encode"`
		Rank     float64 `json:"rank"`
		Download float64 `json:"download"`
	}{ms(t.Upload), ms(t.RPN), ms(t.Crop), ms(t.Encode), ms(t.Rank), ms(t.Download)})
}

// UnmarshalJSON reads milliseconds, to the microsecond. A stage that is missing is 0; one
// that is negative or more than a year is an error.
func (t *Timings) UnmarshalJSON(data []byte) error {
	var ms struct {
		Upload, RPN, Crop, Encode, Rank, Download float64
	}
	if err := json.Unmarshal(data, &ms); err != nil {
		return fmt.Errorf("timings: %w", err)
	}
	for i, v := range []float64{ms.Upload, ms.RPN, ms.Crop, ms.Encode, ms.Rank, ms.Download} {
		if !(v >= 0 && v <= 366*24*3600e3) {
			return fmt.Errorf("timings: stage %d took %v ms; it must be 0 to a year", i+1, v)
		}
	}
	span := func(ms float64) time.Duration { return time.Duration(math.Round(ms*1000)) * time.Microsecond }
	*t = Timings{span(ms.Upload), span(ms.RPN), span(ms.Crop), span(ms.Encode), span(ms.Rank), span(ms.Download)}
	return nil
}
