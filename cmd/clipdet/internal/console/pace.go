package console

import (
	"time"
)

// Pace reports the remaining time of a long run on a stderr without a progress bar.
type Pace struct {
	since, said time.Time
	every       time.Duration
}

// NewPace returns a Pace for a run that starts now, with some time between two reports.
func NewPace(every time.Duration) Pace { return Pace{time.Now(), time.Now(), every} }

// DayPace is a time between reports with which the log of a day's run has about 1,000.
const DayPace = 90 * time.Second

// Tell prints how many pictures are done and the time left, if the last report is long
// enough ago. It prints nothing if the progress has a bar or all pictures are done. done
// must not be 0.
func (p *Pace) Tell(to Progress, done, of int) {
	if to.bar != nil || time.Since(p.said) < p.every || done == of {
		return
	}
	p.said = time.Now()
	left := time.Since(p.since) / time.Duration(done) * time.Duration(of-done)
	to.Say("%d of %d pictures, %v left", done, of, left.Round(time.Second))
}
