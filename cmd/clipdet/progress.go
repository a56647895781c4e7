package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress is what people see on stderr meanwhile: a bar, where stderr is a terminal and there is more than one picture
// to wait for, and messages above it.
type progress struct {
	w   io.Writer
	bar *progressbar.ProgressBar // nil: no bar
}

func newProgress(w io.Writer, pictures int) progress {
	p := progress{w: w}
	if file, ok := w.(*os.File); ok && pictures > 1 && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(pictures,
			progressbar.OptionSetWriter(w),
			progressbar.OptionSetDescription("detecting"),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	return p
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
