// Package exit has the exit codes of the command, and the errors that carry them.
package exit

import (
	"context"
	"errors"
)

// The exit codes, as the help of the root command lists them.
const (
	CodeDone   = 0
	CodeInputs = 1
	CodeUsage  = 2
	CodeSetup  = 3
)

// failure is an error that ends the program with a code of its own. Every other error is
// wrong usage, since cobra's own errors are.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// Code returns the exit code that an error ends the program with.
func Code(err error) int {
	var f *failure
	switch {
	case err == nil:
		return CodeDone
	case errors.As(err, &f):
		return f.code
	}
	return CodeUsage
}

// Reason returns the error within one that has an exit code of its own, and others as
// they are.
func Reason(err error) error {
	var f *failure
	if errors.As(err, &f) && f.Error() == err.Error() { // and not one of several
		return f.err
	}
	return err
}

// Inputs returns an error of inputs that are not done, or of results that are not
// written.
func Inputs(err error) error { return &failure{CodeInputs, err} }

// Setup returns an error of models or a device that do not work, and nil for nil.
func Setup(err error) error {
	if err == nil {
		return nil
	}
	return &failure{CodeSetup, err}
}

// NotOpened returns the error of a detector that can't be opened. An interruption is none
// of the models' failures, and leaves inputs undone.
func NotOpened(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return Inputs(errors.New("interrupted before the first picture"))
	}
	return Setup(errors.Join(err, errors.New("run 'clipdet doctor' to see what works here")))
}
