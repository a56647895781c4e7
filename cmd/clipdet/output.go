package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// output is where results go: stdout and, where there is one, a file that appears under its name when it is complete.
type output struct {
	stdout io.Writer
	file   *os.File // nil: stdout alone
	path   string
	failed bool
}

// openOutput starts the file name in dir; dir may be empty, for stdout alone.
func openOutput(stdout io.Writer, dir, name string) (*output, error) {
	if dir == "" {
		return &output{stdout: stdout}, nil
	}
	file, err := newPartial(dir)
	if err != nil {
		return nil, err
	}
	return &output{stdout: stdout, file: file, path: filepath.Join(dir, name)}, nil
}

// Write writes to both. What fails in one, say for a full disk, ends both.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.stdout.Write(p)
	if err == nil && o.file != nil {
		if n, err = o.file.Write(p); err != nil {
			err = fmt.Errorf("%s: %w", o.path, err)
		}
	}
	o.failed = o.failed || err != nil
	return n, err
}

// close gives the file its name, or removes it where a part of it is missing.
func (o *output) close() error {
	switch {
	case o.file == nil:
		return nil
	case o.failed: // which Write has reported
		return errors.Join(o.file.Close(), os.Remove(o.file.Name()))
	}
	return publish(o.file, o.path)
}

// writable makes a directory where it is missing, and fails where no file can be put into it.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := newPartial(dir)
	if err != nil {
		return err
	}
	return errors.Join(temp.Close(), os.Remove(temp.Name()))
}

// flagFile is a file and what names it in messages.
type flagFile struct{ flag, path string }

// check fails where no file can get this name, say of a directory or a device, which a file must not replace.
func (f flagFile) check() error {
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

// apart fails where a file that is written would take the place of another one, or of one that is read.
func apart(written, read []flagFile) error {
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

// writeFile writes a file that appears under its name when it is complete.
func writeFile(path string, write func(io.Writer) error) error {
	out, err := openOutput(io.Discard, filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return err
	}
	err = write(out)
	out.failed = out.failed || err != nil
	return errors.Join(err, out.close())
}

// newPartial makes a file with a name of its own, for publish. The umask says who may read it; one of os.CreateTemp would
// be its owner's alone.
func newPartial(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, ".partial-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// publish closes a temporary file and gives it its name, in one step, so that no reader meets half a file. It removes
// the file where it fails.
func publish(temp *os.File, path string) error {
	err := temp.Close()
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // what is left of a failure; err says more
	}
	return err
}
