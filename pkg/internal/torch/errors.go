package torch

// #include <stdlib.h>
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Errors of this package, for errors.Is.
var (
	// ErrClosed is returned if the engine, or what was kept on it, is closed.
	ErrClosed = errors.New("closed")
	// ErrEngine is the ErrClosed of an engine, which its detector closes.
	ErrEngine = fmt.Errorf("%w: the detector", ErrClosed)
	// ErrDevice is returned if a device is misnamed or not available.
	ErrDevice = errors.New("device not available")
	// ErrLibtorch is returned if libtorch itself reports an error.
	ErrLibtorch = errors.New("libtorch")
	// ErrOutOfMemory is an ErrLibtorch for lack of memory, of the host or the device.
	ErrOutOfMemory = fmt.Errorf("%w: out of memory", ErrLibtorch)
	// ErrLost is an ErrDevice: the device fails every call from then on.
	ErrLost = fmt.Errorf("%w: it is lost to this process, so start the process again", ErrDevice)
	// ErrPanic is returned if the caller's code panicked. It is always a PanicError.
	ErrPanic = errors.New("panic")
)

// PanicError is a panic of the caller's code on a goroutine of the engine, where the
// caller can't recover it. It is an ErrPanic.
type PanicError struct {
	Value any    // of the panic; "runtime.Goexit" if its goroutine ended
	Stack []byte // of runtime/debug.Stack
}

func (e *PanicError) Error() string { return fmt.Sprintf("%v: %v", ErrPanic, e.Value) }

// Unwrap returns ErrPanic.
func (e *PanicError) Unwrap() error { return ErrPanic }

// takeError returns and clears libtorch's last error, or returns nil. It must run on the
// engine's thread, where the failed call ran, since libtorch keeps the text per thread.
func takeError(op string) error {
	text := unsafe.Pointer(libtch.GetAndResetLastErr())
	if text == nil {
		return nil
	}
	defer C.free(text)
	return libtorchError(op, C.GoString((*C.char)(text)))
}

// signs are parts of libtorch's texts, as its own, cuBLAS's, cuDNN's and the driver's
// calls word them (c10/cuda/CUDAException.cpp, at::cuda's CUDAContextLight and
// Exceptions).
var signs = []struct {
	kind error
	text string
}{
	{ErrOutOfMemory, "out of memory"},
	{ErrOutOfMemory, "can't allocate memory"},
	{ErrOutOfMemory, "not enough memory"},
	{ErrOutOfMemory, "CUBLAS_STATUS_ALLOC_FAILED"},
	{ErrOutOfMemory, "CUDNN_STATUS_ALLOC_FAILED"},
	{ErrLost, "CUDA error: an illegal memory access"},
	{ErrLost, "CUDA error: device-side assert"},
	{ErrLost, "CUDA error: misaligned address"},
	{ErrLost, "CUDA error: the launch timed out"},
	{ErrLost, "CUDA error: unspecified launch failure"},
	{ErrLost, "CUDA error: uncorrectable ECC error"},
	{ErrLost, "CUDA error: hardware stack error"},
	{ErrLost, "CUDA error: an illegal instruction"},
}

func libtorchError(op, text string) error {
	kind := ErrLibtorch
	for _, sign := range signs {
		if strings.Contains(text, sign.text) {
			kind = sign.kind
		}
	}
	return fmt.Errorf("%w: %s: %s", kind, op, firstLine(text))
}

// firstLine returns the message of libtorch's error, without the C++ backtrace and, for a
// failed script, without the script's traceback.
func firstLine(text string) string {
	// A failed script ends with the exception: "RuntimeError: what was wrong".
	if strings.Contains(text, "Traceback of TorchScript") {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		for i := len(lines) - 1; i >= 0; i-- {
			if name, rest, ok := strings.Cut(lines[i], ": "); ok && !strings.ContainsAny(name, " \t(") {
				return strings.TrimSpace(rest)
			}
		}
	}
	if i := strings.Index(text, "\nException raised from"); i >= 0 {
		text = text[:i]
	}
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(line)
}
