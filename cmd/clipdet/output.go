package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// output is where results go: stdout and, where there is one, a file that appears under its name when it is complete.
type output struct {
	io.Writer
	file *os.File // nil: stdout alone
	path string
}

// openOutput starts the file name in dir; dir may be empty, for stdout alone.
func openOutput(stdout io.Writer, dir, name string) (*output, error) {
	if dir == "" {
		return &output{Writer: stdout}, nil
	}
	file, err := os.CreateTemp(dir, ".partial-*")
	if err != nil {
		return nil, err
	}
	return &output{io.MultiWriter(stdout, file), file, filepath.Join(dir, name)}, nil
}

func (o *output) close() error {
	if o.file == nil {
		return nil
	}
	return publish(o.file, o.path)
}

// publish closes a temporary file and gives it its name, in one step, so that no reader meets half a file. It removes
// the file where it fails.
func publish(temp *os.File, path string) error {
	err := errors.Join(temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // what is left of a failure; err says more
	}
	return err
}
