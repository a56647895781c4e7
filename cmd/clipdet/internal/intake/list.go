package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
)

// mostListBytes is more than a list of a million paths takes.
const mostListBytes = 256 << 20

// list adds what the list in a file names, or on stdin for -.
func (e *expansion) list(path string) error {
	r := e.stdin
	if path == Stdin {
		if err := e.takeStdin(); err != nil {
			return fmt.Errorf("--files-from %w", err)
		}
	} else {
		file, err := files.Open(path)
		if err != nil {
			return fmt.Errorf("--files-from: %w", err)
		}
		defer file.Close()
		r = file
	}
	names, err := readList(r, mostListBytes)
	if err != nil {
		return fmt.Errorf("--files-from %s: %w", path, err)
	}
	for _, name := range names {
		switch {
		case name == Stdin:
			return fmt.Errorf("--files-from %s: it names - , and stdin is for an argument", path)
		case isURL(name):
			e.found.Inputs = append(e.found.Inputs, e.flags.remote(name))
		default:
			e.path(name) // a name may have a * in it
		}
	}
	return nil
}

// readList reads a list of paths, as find and git write them: one a line or, if there is
// a NUL, as find -print0 writes them, each before a NUL. A line may end with \r\n. Empty
// names don't count, and a list has at least one other.
func readList(r io.Reader, most int64) ([]string, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("it has more than %d bytes", most)
	}
	separator, trim := []byte("\n"), "\r"
	if bytes.IndexByte(data, 0) >= 0 {
		separator, trim = []byte{0}, ""
	} else {
		data = bytes.TrimPrefix(data, []byte("\ufeff"))
	}
	var names []string
	for name := range bytes.SplitSeq(data, separator) {
		if name = bytes.TrimSuffix(name, []byte(trim)); len(name) > 0 {
			names = append(names, string(name))
		}
	}
	if len(names) == 0 {
		return nil, errors.New("it names no picture")
	}
	return names, nil
}
