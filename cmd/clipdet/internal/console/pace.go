package console

import (
	"time"
)

// Pace says, where no bar does, how long a run still takes.
type Pace struct{ since, said time.Time }

// NewPace starts now.
func NewPace() Pace { return Pace{time.Now(), time.Now()} }

// paceEvery is how often: a log of a day's run has some 1,000 lines of it.
const paceEvery = 90 * time.Second

func (p *Pace) Tell(to Progress, done, of int) {
	if to.bar != nil || time.Since(p.said) < paceEvery || done == of {
		return
	}
	p.said = time.Now()
	left := time.Since(p.since) / time.Duration(done) * time.Duration(of-done)
	to.Say("%d of %d pictures, %v left", done, of, left.Round(time.Second))
}
