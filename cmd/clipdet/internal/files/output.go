// Package files has the files that the command writes and the texts that it reads: a written file
// appears under its name when it is complete, and opening never waits.
package files

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Output is where results go: stdout and, where there is one, a file that appears under its name when it is complete.
type Output struct {
	stdout io.Writer
	file   *os.File // nil: stdout alone
	path   string
	failed bool
}

// Create starts the file name in dir; dir may be empty, for stdout alone.
func Create(stdout io.Writer, dir, name string) (*Output, error) {
	if dir == "" {
		return &Output{stdout: stdout}, nil
	}
	file, err := NewPartial(dir)
	if err != nil {
		return nil, err
	}
	return &Output{stdout: stdout, file: file, path: filepath.Join(dir, name)}, nil
}

// Write writes to both. What fails in one, say for a full disk, ends both.
func (o *Output) Write(p []byte) (int, error) {
	n, err := o.stdout.Write(p)
	if err == nil && o.file != nil {
		if n, err = o.file.Write(p); err != nil {
			err = fmt.Errorf("%s: %w", o.path, err)
		}
	}
	o.failed = o.failed || err != nil
	return n, err
}

// Close gives the file its name, or removes it where a part of it is missing.
func (o *Output) Close() error {
	switch {
	case o.file == nil:
		return nil
	case o.failed: // which Write has reported
		return errors.Join(o.file.Close(), os.Remove(o.file.Name()))
	}
	return Publish(o.file, o.path)
}

// Writable makes a directory where it is missing, and fails where no file can be put into it.
func Writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := NewPartial(dir)
	if err != nil {
		return err
	}
	return errors.Join(temp.Close(), os.Remove(temp.Name()))
}

// Named is a file and what names it in messages.
type Named struct{ flag, path string }

// GivenBy returns the file at path, which messages name by the flag; path may be empty,
// for none.
func GivenBy(flag, path string) Named { return Named{flag, path} }

// Check fails where no file can get this name, say of a directory or a device, which a file must not replace.
func (f Named) Check() error {
	if f.path == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(f.path)); err != nil || !info.IsDir() {
		return fmt.Errorf("%s %s: there is no such directory", f.flag, f.path)
	}
	if info, err := os.Stat(f.path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s %s: it is there already, and no file", f.flag, f.path)
	}
	return nil
}

// CheckDistinct fails where a file that is written would take the place of another one, or of one that is read.
func CheckDistinct(written, read []Named) error {
	for i, to := range written {
		for _, other := range append(written[:i:i], read...) {
			if to.path != "" && other.path != "" && samePlace(to.path, other.path) {
				return fmt.Errorf("%s %s: %s is the same file, and would be lost", to.flag, to.path, other.flag)
			}
		}
	}
	return nil
}

// samePlace says whether two paths are of one file, which may not be there yet.
func samePlace(a, b string) bool {
	at, errA := os.Stat(a)
	bt, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(at, bt)
	}
	return filepath.Clean(a) == filepath.Clean(b)
}

// Write writes a file that appears under its name when it is complete.
func Write(path string, write func(io.Writer) error) error {
	out, err := Create(io.Discard, filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return err
	}
	err = write(out)
	out.failed = out.failed || err != nil
	return errors.Join(err, out.Close())
}

// NewPartial makes a file with a name of its own, for publish. The umask says who may read it; one of os.CreateTemp would
// be its owner's alone.
func NewPartial(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, ".partial-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// Publish closes a temporary file and gives it its name, in one step, so that no reader meets half a file. It removes
// the file where it fails.
func Publish(temp *os.File, path string) error {
	err := temp.Close()
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // what is left of a failure; err says more
	}
	return err
}
