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

// Printable is text from a stranger, such as a file's name, as people may see it: what a terminal would obey or not show
// (controls, line ends, marks that turn the writing around, bytes that are no UTF-8) stands as Go's escape for it.
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

// QuotedPath is a path as it stands in messages: in quotes where it has to be escaped, so that no name looks like a
// message of ours.
func QuotedPath(path string) string {
	if shown := Printable(path); shown != path {
		return `"` + shown + `"`
	}
	return path
}

// Naming returns the error's text, in which the input's path is quoted as [quotedPath]
// does. The text names the path already if it is of the file system, or begins with it.
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

// WriteError writes an error to stderr, a line for each that was joined, and lets no name in it write lines of its own.
func WriteError(stderr io.Writer, err error) {
	err = exit.Reason(err)
	// The outermost alone is asked whether errors.Join made it.
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		parts := joined.Unwrap()
		texts := make([]string, len(parts))
		for i, part := range parts {
			texts[i] = part.Error()
		}
		if strings.Join(texts, "\n") == err.Error() { // and not fmt.Errorf, which says more
			for _, part := range parts {
				WriteError(stderr, part)
			}
			return
		}
	}
	fmt.Fprintf(stderr, "clipdet: %s\n", Printable(err.Error()))
}
