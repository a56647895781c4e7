// Package console writes what people read on stderr: progress, messages and errors. A
// name from outside can't start a line of its own in them.
package console

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress reports a run's progress on stderr: messages, and a bar below them if stderr
// is a terminal and the run has more than one step.
type Progress struct {
	w   io.Writer
	bar *progressbar.ProgressBar // nil: no bar
}

// NewProgress returns a Progress of the given number of steps. doing labels its bar.
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

// manyPhrases is the number of phrases from which embedding takes seconds on a CPU.
const manyPhrases = 500

// PhraseProgress returns a function for detect.Options.Progress that shows a bar on w
// while many phrases are embedded.
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
			_ = p.bar.Set(done) // fails only for more steps than the bar has
		}
	}
}

// Say prints a formatted line on w as [Progress.Say] does, where there is no progress.
func Say(w io.Writer, format string, args ...any) { Progress{w: w}.Say(format, args...) }

// Say prints a formatted line with its control characters escaped. An error of the write
// is ignored, because stderr is the only place to report it.
func (p Progress) Say(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.w, "clipdet: %s\n", Printable(fmt.Sprintf(format, args...)))
}

// Quiet returns a Progress that prints the same messages but has no bar.
func (p Progress) Quiet() Progress { return Progress{w: p.w} }

// Step advances the bar by one step.
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
