package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress is what people see on stderr meanwhile: a bar, where stderr is a terminal and there is more than one thing
// to wait for, and messages above it.
type progress struct {
	w   io.Writer
	bar *progressbar.ProgressBar // nil: no bar
}

// newProgress starts a bar for so many steps of what is being done.
func newProgress(w io.Writer, doing string, steps int) progress {
	p := progress{w: w}
	if file, ok := w.(*os.File); ok && steps > 1 && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(steps,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription(doing),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	return p
}

// manyPhrases take seconds to embed on a CPU.
const manyPhrases = 500

// phraseProgress is for detect.Options.Progress: a bar while many phrases are embedded.
func phraseProgress(w io.Writer) func(done, phrases int) {
	var p progress
	return func(done, phrases int) {
		switch {
		case phrases < manyPhrases:
		case done == 0:
			p = newProgress(w, "embedding phrases", phrases)
		case done == phrases:
			p.finish()
		case p.bar != nil:
			_ = p.bar.Set(done) // fails for more than there are only
		}
	}
}

// say prints a line, whatever a name in it holds. Failing to write to stderr leaves nobody to tell.
func (p progress) say(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.w, "clipdet: %s\n", printable(fmt.Sprintf(format, args...)))
}

func (p progress) step() {
	if p.bar != nil {
		_ = p.bar.Add(1)
	}
}

func (p progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
