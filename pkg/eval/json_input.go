package eval

import (
	"bufio"
	"bytes"
	"io"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// asJSON returns a reader of r's text as JSON that Go reads: UTF-8 without a byte order
// mark, which tools of Windows write, and with a number beyond float64 in place of NaN
// and Infinity, which Python's json module writes. Such a number is an error if it
// matters, and is skipped with a field that doesn't.
func asJSON(r io.Reader) io.Reader {
	in := bufio.NewReader(r)
	start, _ := in.Peek(3) // an error comes again when reading
	switch {
	case bytes.HasPrefix(start, []byte("\xef\xbb\xbf")):
		_, _ = in.Discard(3) // they are in the buffer
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
		utf16 := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM)
		in = bufio.NewReader(transform.NewReader(in, utf16.NewDecoder()))
	}
	return &withoutNaN{in: in}
}

// beyond stands for a number that isn't finite.
const beyond = "1e999"

// withoutNaN replaces NaN and Infinity outside of strings by beyond. The sign of
// -Infinity stays.
type withoutNaN struct {
	in      *bufio.Reader
	quoted  bool // within a string
	escaped bool // after a backslash in a string
	left    string
}

func (w *withoutNaN) Read(p []byte) (int, error) {
	if len(w.left) > 0 {
		n := copy(p, w.left)
		w.left = w.left[n:]
		return n, nil
	}
	if _, err := w.in.Peek(1); err != nil || len(p) == 0 {
		return 0, err
	}
	data, _ := w.in.Peek(min(len(p), w.in.Buffered()))
	n := copy(p, data[:w.plain(data)])
	_, _ = w.in.Discard(n)
	if n > 0 {
		return n, nil
	}
	for _, word := range []string{"NaN", "Infinity"} {
		if found, _ := w.in.Peek(len(word)); string(found) == word {
			_, _ = w.in.Discard(len(word))
			w.left = beyond
			return w.Read(p)
		}
	}
	p[0], _ = w.in.ReadByte() // another N or I, which is an error of JSON
	return 1, nil
}

// plain returns how many bytes come before a word outside of strings that begins with N
// or I. No word of JSON does.
func (w *withoutNaN) plain(data []byte) int {
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case w.escaped:
			w.escaped = false
		case w.quoted && c == '\\':
			w.escaped = true
		case c == '"':
			w.quoted = !w.quoted
		case !w.quoted && (c == 'N' || c == 'I'):
			return i
		}
	}
	return len(data)
}
