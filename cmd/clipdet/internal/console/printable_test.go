package console

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// TestPrintable has names that control a terminal.
func TestPrintable(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"scène 1/α.jpg", "scène 1/α.jpg"},
		{"a\nclipdet: all is well", `a\nclipdet: all is well`},
		{"\x1b[2J\x1b]0;title\a", `\x1b[2J\x1b]0;title\a`},
		{"caf\xe9.png", `caf\xe9.png`},
		{"a\u202egnp.exe", `a\u202egnp.exe`},
		{"\u009b31m", `\u009b31m`},
		{"\ufffd is itself", "\ufffd is itself"},
		{`C:\n "x"`, `C:\n "x"`},
	} {
		if got := Printable(test.text); got != test.want {
			t.Errorf("printable(%q) = %s, want %s", test.text, got, test.want)
		}
	}
}

func TestErrorsHaveALineEach(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("a\nb"), `clipdet: a\nb` + "\n"},
		{exit.Setup(errors.Join(errors.New("a\x1b"), errors.Join(errors.New("b"), fmt.Errorf("c: %w and %w", detect.ErrQuery, prompt.ErrUTF8)))),
			`clipdet: a\x1b` + "\nclipdet: b\nclipdet: c: " + detect.ErrQuery.Error() + " and " + prompt.ErrUTF8.Error() + "\n"},
		{errors.Join(exit.Inputs(errors.New("1 of 2 pictures failed")), exit.Inputs(errors.New("rename"))),
			"clipdet: 1 of 2 pictures failed\nclipdet: rename\n"},
	} {
		var stderr strings.Builder
		if WriteError(&stderr, test.err); stderr.String() != test.want {
			t.Errorf("%q is written as %q, want %q", test.err, stderr.String(), test.want)
		}
	}
}
