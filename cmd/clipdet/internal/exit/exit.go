// Package exit defines the exit codes of the command and the errors that carry them.
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

// failure is an error with its own exit code. Every other error means wrong usage,
// because cobra's own errors do.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// Code returns the exit code for err: CodeDone for nil, the code of the first error of
// this package that err wraps, and CodeUsage if it wraps none.
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

// Reason returns the error that err wraps if err only adds an exit code to it. It returns
// every other error unchanged.
func Reason(err error) error {
	var f *failure
	// A joined error has more text than the one with the exit code.
	if errors.As(err, &f) && f.Error() == err.Error() {
		return f.err
	}
	return err
}

// Inputs returns an error with CodeInputs, for inputs that are not done or results that
// are not written.
func Inputs(err error) error { return &failure{CodeInputs, err} }

// Setup returns an error with CodeSetup, for models or a device that do not work. It
// returns nil for nil.
func Setup(err error) error {
	if err == nil {
		return nil
	}
	return &failure{CodeSetup, err}
}

// NotOpened returns the error for a detector that can't be opened. If ctx is done, the
// models didn't fail: the error is of inputs that are not done. Otherwise it wraps err
// and points to clipdet doctor.
func NotOpened(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return Inputs(errors.New("interrupted before the first picture"))
	}
	return Setup(errors.Join(err, errors.New("run 'clipdet doctor' to see what works here")))
}
