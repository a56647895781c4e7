package console

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
)

// Printable returns untrusted text, such as a file name, in a form that is safe to
// display. It replaces everything that a terminal would obey or not show (control
// characters, line ends, marks that change the writing direction, bytes that aren't
// UTF-8) with its Go escape.
func Printable(text string) string {
	var shown strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if part := text[i : i+size]; strconv.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			shown.WriteString(part)
		} else {
			quoted := strconv.Quote(part)
			shown.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return shown.String()
}

// QuotedPath returns a path for use in messages. If the path has to be escaped it is also
// quoted, so that no file name can look like a message of the program.
func QuotedPath(path string) string {
	if shown := Printable(path); shown != path {
		return `"` + shown + `"`
	}
	return path
}

// Naming returns the error's text with the input's path at its start or within it, quoted
// as by [QuotedPath]. The path is not added again if err is an [fs.PathError] of that
// path or begins with the path.
func Naming(path string, err error) string {
	text, quoted := err.Error(), QuotedPath(path)
	if of := new(fs.PathError); errors.As(err, &of) && of.Path == path {
		return strings.Replace(text, of.Op+" "+path, of.Op+" "+quoted, 1)
	}
	if rest, named := strings.CutPrefix(text, path+": "); named && path != "" {
		text = rest
	}
	return quoted + ": " + text
}

// WriteError writes err to stderr, one line for each joined error. Control characters are
// escaped, so that a name in the text can't start a line of its own.
func WriteError(stderr io.Writer, err error) {
	err = exit.Reason(err)
	// Only the outermost error is checked for errors.Join.
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		parts := joined.Unwrap()
		texts := make([]string, len(parts))
		for i, part := range parts {
			texts[i] = part.Error()
		}
		if strings.Join(texts, "\n") == err.Error() { // not fmt.Errorf, which adds text
			for _, part := range parts {
				WriteError(stderr, part)
			}
			return
		}
	}
	fmt.Fprintf(stderr, "clipdet: %s\n", Printable(err.Error()))
}
