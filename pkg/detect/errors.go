package detect

import (
	"errors"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// Errors of this package, for errors.Is. Errors of the packages that it uses pass
// through, such as model.ErrMissing, model.ErrMismatch and prompt.ErrTooLong.
var (
	// ErrClosed is returned if the detector, or an argument of the call, is closed.
	ErrClosed = torch.ErrClosed
	// ErrDevice is returned if a device is misnamed or not available, or if a GPU fails
	// every call from now on, as after an illegal memory access, so that the process has
	// to be started again.
	ErrDevice = torch.ErrDevice
	// ErrOutOfMemory is returned if the memory of the host or the device doesn't suffice.
	ErrOutOfMemory = torch.ErrOutOfMemory
	// ErrPanic is returned if code of the caller panicked while this package ran it: the
	// methods of an image, the stream of DetectAll, Options.Progress, or Options.Logger
	// in Open and DetectAll. The error is always a PanicError, which has the stack.
	ErrPanic = pixels.ErrPanic
	// ErrOption is returned if an option or parameter is out of range.
	ErrOption = errors.New("unusable option")
	// ErrQuery is returned if queries can't be used: if there is none, two have one name,
	// or they are of another detector; if a text, weight, box or embedding can't be used;
	// or if Params.Thresholds names no query of them.
	ErrQuery = errors.New("unusable queries")
	// ErrLimit is returned for more queries, phrases or templates than Options.Limits
	// allows, for more detections than Params.MaxDetections, for more than 8,192 boxes of
	// a picture, and for more than 67,108,864 boxes times queries.
	ErrLimit = errors.New("over the limit")
	// ErrOutput is returned if a model's output has a NaN or an infinite value.
	ErrOutput = errors.New("unusable output of a model")
	// ErrNotHere is returned if the device has no operations for the type of a model's
	// weights: float16 on a CPU, int8 on a GPU or on aarch64.
	ErrNotHere = errors.New("weights of this type don't run on this device")
)

// PanicError is a panic of the caller's code that became the error of a call. It is an
// ErrPanic.
type PanicError = pixels.PanicError

// publicError returns err, or the public PanicError if it is one of the engine.
func publicError(err error) error {
	if p, ok := errors.AsType[*torch.PanicError](err); ok {
		return &PanicError{Value: p.Value, Stack: p.Stack}
	}
	return err
}
