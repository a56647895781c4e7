// Package console has what people read on stderr: progress, messages and errors, in which no name
// from outside can write lines of its own.
package console

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress is what people see on stderr meanwhile: a bar, where stderr is a terminal and there is more than one thing
// to wait for, and messages above it.
type Progress struct {
	w   io.Writer
	bar *progressbar.ProgressBar // nil: no bar
}

// NewProgress starts a bar for so many steps of what is being done.
func NewProgress(w io.Writer, doing string, steps int) Progress {
	p := Progress{w: w}
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

// PhraseProgress is for detect.Options.Progress: a bar while many phrases are embedded.
func PhraseProgress(w io.Writer) func(done, phrases int) {
	var p Progress
	return func(done, phrases int) {
		switch {
		case phrases < manyPhrases:
		case done == 0:
			p = NewProgress(w, "embedding phrases", phrases)
		case done == phrases:
			p.Finish()
		case p.bar != nil:
			_ = p.bar.Set(done) // fails for more than there are only
		}
	}
}

// Say prints a line, whatever a name in it holds. Failing to write to stderr leaves nobody to tell.
func (p Progress) Say(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.w, "clipdet: %s\n", Printable(fmt.Sprintf(format, args...)))
}

// Quiet returns a progress that says the same, and has no bar.
func (p Progress) Quiet() Progress { return Progress{w: p.w} }

// Step counts one step as done.
func (p Progress) Step() {
	if p.bar != nil {
		_ = p.bar.Add(1)
	}
}

// Finish removes the bar.
func (p Progress) Finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
