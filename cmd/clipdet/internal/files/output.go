// Package files opens and writes the command's files. A written file appears under its
// name only when it is complete, and opening a file never blocks.
package files

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Output writes results to stdout and, optionally, to a file that appears under its name
// only when it is complete. It isn't safe for concurrent use.
type Output struct {
	stdout io.Writer
	file   *os.File // nil: only stdout
	path   string
	failed bool
	spare  bool // whether to leave a file that is at path
}

// Spare is [Create], but a file of another process that takes the name meanwhile stays.
// Close then gives the results another name and fails with an error that says it.
func Spare(stdout io.Writer, dir, name string) (*Output, error) {
	o, err := Create(stdout, dir, name)
	if err == nil {
		o.spare = true
	}
	return o, err
}

// Create returns an Output that writes to stdout and to the file name in dir. If dir is
// empty, it writes to stdout only. The caller must call Close.
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

// Write writes p to stdout and then to the file. If either fails, for example because a
// disk is full, Close removes the file.
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

// Discard lets Close remove the file.
func (o *Output) Discard() { o.failed = true }

// Close gives the file its name, or removes the file if a Write failed.
func (o *Output) Close() error {
	switch {
	case o.file == nil:
		return nil
	case o.failed: // Write has returned the error
		return errors.Join(o.file.Close(), os.Remove(o.file.Name()))
	}
	if o.spare {
		return publishNew(o.file, o.path)
	}
	return Publish(o.file, o.path)
}

// publishNew is Publish, but a regular file at path stays. The results then get the first
// name of NAME-2, NAME-3 and so on that is free, and an error says it.
func publishNew(temp *os.File, path string) error {
	if err := temp.Close(); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	to, extension := path, filepath.Ext(path)
	for i := 2; ; i++ {
		err := os.Link(temp.Name(), to)
		info, there := os.Stat(to)
		if err == nil || !errors.Is(err, fs.ErrExist) || there == nil && !info.Mode().IsRegular() {
			if err != nil { // a file system without links, or something else is in the way
				err = os.Rename(temp.Name(), to)
			}
			if removed := os.Remove(temp.Name()); err == nil && removed != nil && !errors.Is(removed, fs.ErrNotExist) {
				err = removed
			}
			if err == nil && to != path {
				err = fmt.Errorf("another run wrote %s meanwhile; these results are in %s", path, to)
			}
			return err
		}
		to = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(path, extension), i, extension)
	}
}

// Writable creates the directory dir if it is missing, and returns an error if no file
// can be created in it.
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

// Named is a file and the flag or words that name it in messages.
type Named struct{ flag, path string }

// GivenBy returns the file at path, which messages name by flag. An empty path stands for
// no file.
func GivenBy(flag, path string) Named { return Named{flag, path} }

// CheckPlace returns an error if f can't be a regular file: if its directory doesn't
// exist, or if its path is of something else, such as a directory or a device.
func (f Named) CheckPlace() error {
	if f.path == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(f.path)); err != nil || !info.IsDir() {
		return fmt.Errorf("%s %s: there is no such directory", f.flag, f.path)
	}
	info, err := os.Stat(f.path)
	// /dev/stdout leads to a regular file if stdout does, and must not be replaced.
	to, _ := os.Readlink(f.path)
	if err == nil && !info.Mode().IsRegular() || strings.HasPrefix(to, "/proc/") {
		return fmt.Errorf("%s %s: it is there already, and no file", f.flag, f.path)
	}
	return nil
}

// Check is CheckPlace, and returns an error too if [Write] can't create files beside f.
func (f Named) Check() error {
	if f.path == "" {
		return nil
	}
	if err := f.CheckPlace(); err != nil {
		return err
	}
	if err := Writable(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("%s: %w", f.flag, err)
	}
	return nil
}

// CheckDistinct returns an error if a written file would replace another written file or
// one that is read.
func CheckDistinct(written, read []Named) error {
	for i, to := range written {
		if to.path == "" {
			continue
		}
		there, err := os.Stat(to.path)
		for _, other := range append(written[:i:i], read...) {
			if other.path == "" {
				continue
			}
			same := filepath.Base(to.path) == filepath.Base(other.path) && sameFile(filepath.Dir(to.path), filepath.Dir(other.path))
			if err == nil && !same {
				info, err := os.Stat(other.path)
				same = err == nil && os.SameFile(there, info)
			}
			if same {
				return fmt.Errorf("%s %s: %s is the same file, and would be lost", to.flag, to.path, other.flag)
			}
		}
	}
	return nil
}

// sameFile reports whether two paths are of one file or directory.
func sameFile(a, b string) bool {
	at, errA := os.Stat(a)
	bt, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(at, bt)
}

// Write writes a file that appears at path only when it is complete. If write fails, no
// file is left and an earlier one is kept.
func Write(path string, write func(io.Writer) error) error {
	out, err := Create(io.Discard, filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return err
	}
	err = write(out)
	out.failed = out.failed || err != nil
	return errors.Join(err, out.Close())
}

// WriteNew is Write, but fails with fs.ErrExist if path is taken.
func WriteNew(path string, write func(io.Writer) error) error {
	temp, err := NewPartial(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := errors.Join(write(temp), temp.Close()); err != nil {
		return err
	}
	err = os.Link(temp.Name(), path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Stat(path); err == nil { // a file system without links
		return fs.ErrExist
	}
	return os.Rename(temp.Name(), path)
}

// Lock keeps other processes from writing to file until it is closed. It fails if one does.
func Lock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("another process writes to it: %w", err)
	case err != nil:
		return fmt.Errorf("it can't be locked: %w", err)
	}
	return nil
}

// NewPartial creates a file with a unique temporary name in dir, for [Publish]. Its
// permissions follow the umask; os.CreateTemp would make it readable by its owner only.
func NewPartial(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, ".partial-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// Publish closes temp and renames it to path. The rename is atomic, so that no reader
// sees half a file. If it fails, Publish removes temp.
func Publish(temp *os.File, path string) error {
	err := temp.Close()
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // best effort; err is the cause
	}
	return err
}
