// Package files opens, reads and writes the library's files. Opening never waits, reading
// is bounded, and a written file appears under its name when it is complete.
package files

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrTooLarge is returned if a reader has more bytes than the limit.
var ErrTooLarge = errors.New("too many bytes")

// Partial begins the name of a file that is being written.
const Partial = ".partial-"

// Open opens a file for reading. It doesn't wait for the writer of a pipe: a pipe without
// one is empty.
func Open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// ReadAll returns all of r. It fails with [ErrTooLarge] if r has more bytes than the
// limit, and reads at most one byte beyond it.
func ReadAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: more than %d", ErrTooLarge, limit)
	}
	return data, err
}

// Replace makes the file at path hold what write writes, with the permissions perm before
// the umask. It writes another file in the directory and renames it, so that a reader
// sees all of the content or none. A link at path is replaced, and not followed.
func Replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	return replace(path, perm, write, func(*os.File) error { return nil })
}

// ReplaceDurably is Replace, and the file stays there even if the system fails right
// after: file and folder are synchronised with the disk.
func ReplaceDurably(path string, perm fs.FileMode, write func(io.Writer) error) error {
	if err := replace(path, perm, write, (*os.File).Sync); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func replace(path string, perm fs.FileMode, write func(io.Writer) error, end func(*os.File) error) error {
	partial := filepath.Join(filepath.Dir(path), Partial+rand.Text())
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	if err = write(file); err == nil {
		err = end(file)
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(partial, path)
	}
	if err != nil {
		_ = os.Remove(partial) // err says what is wrong
	}
	return err
}

// Write is Replace with the data that the file is to hold.
func Write(path string, perm fs.FileMode, data []byte) error {
	return Replace(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
