package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// printable is text from a stranger, such as a file's name, as people may see it: what a terminal would obey or not show
// (controls, line ends, marks that turn the writing around, bytes that are no UTF-8) stands as Go's escape for it.
func printable(text string) string {
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

// quotedPath is a path as it stands in messages: in quotes where it has to be escaped, so that no name looks like a
// message of ours.
func quotedPath(path string) string {
	if shown := printable(path); shown != path {
		return `"` + shown + `"`
	}
	return path
}

// writeError writes an error to stderr, a line for each that was joined, and lets no name in it write lines of its own.
func writeError(stderr io.Writer, err error) {
	var f *failure
	if errors.As(err, &f) && f.Error() == err.Error() { // and not one of several
		err = f.err
	}
	// The outermost alone is asked whether errors.Join made it.
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		parts := joined.Unwrap()
		texts := make([]string, len(parts))
		for i, part := range parts {
			texts[i] = part.Error()
		}
		if strings.Join(texts, "\n") == err.Error() { // and not fmt.Errorf, which says more
			for _, part := range parts {
				writeError(stderr, part)
			}
			return
		}
	}
	fmt.Fprintf(stderr, "clipdet: %s\n", printable(err.Error()))
}
