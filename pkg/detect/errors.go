package detect

import (
	"errors"
	"fmt"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Errors of this package, for errors.Is. Errors of the packages that it uses pass through:
// model.ErrMissing, model.ErrMismatch, prompt.ErrTooLong and so on.
var (
	// ErrClosed is returned if the detector, or what a call was given, has been closed.
	ErrClosed = torch.ErrClosed
	// ErrDevice is returned if the device was misnamed or isn't there.
	ErrDevice = torch.ErrDevice
	// ErrOutOfMemory is returned if the host's or the device's memory didn't suffice.
	ErrOutOfMemory = torch.ErrOutOfMemory
	// ErrPanic is returned if code of the caller panicked while this package ran it: an
	// image's methods, the stream of DetectAll, Options.Progress, or Options.Logger in Open
	// and DetectAll. The error is always a PanicError, which has the stack.
	ErrPanic = torch.ErrPanic
	// ErrOption is returned if an option or parameter is out of range.
	ErrOption = errors.New("unusable option")
	// ErrQuery is returned if queries can't be used: there is none, two have one name, or
	// they are of another detector.
	ErrQuery = errors.New("unusable queries")
	// ErrLimit is returned if there are more queries, phrases or detections than
	// Options.Limits and Params.MaxDetections allow, more than 8,192 boxes of a picture, or
	// more than 67,108,864 boxes times queries.
	ErrLimit = errors.New("over the limit")
	// ErrOutput is returned if a model's output has a NaN or an infinite value.
	ErrOutput = errors.New("unusable output of a model")
	// ErrNotHere is returned if a model's weights are of a type that the device has no
	// operations for: float16 on a CPU.
	ErrNotHere = errors.New("weights of this type run on GPUs only")
)

// PanicError is a panic of the caller's code that became the error of the call. It is an
// ErrPanic.
type PanicError struct {
	Value any    // of the panic; "runtime.Goexit" if the code ended its goroutine
	Stack []byte // as runtime/debug.Stack returns it
}

func (e *PanicError) Error() string { return fmt.Sprintf("%v: %v", ErrPanic, e.Value) }

// Unwrap returns ErrPanic.
func (e *PanicError) Unwrap() error { return ErrPanic }

// publicError returns the engine's errors as the errors of this package.
func publicError(err error) error {
	if p, ok := errors.AsType[*torch.PanicError](err); ok {
		return &PanicError{Value: p.Value, Stack: p.Stack}
	}
	return err
}
