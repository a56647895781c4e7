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
	ErrClosed = errors.New("engine is closed")
	// ErrDevice is returned if a device is misnamed or not available.
	ErrDevice = errors.New("device not available")
	// ErrLibtorch is returned if libtorch itself reports an error.
	ErrLibtorch = errors.New("libtorch")
	// ErrOutOfMemory is an ErrLibtorch for lack of memory, of the host or the device.
	ErrOutOfMemory = fmt.Errorf("%w: out of memory", ErrLibtorch)
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

func libtorchError(op, text string) error {
	kind := ErrLibtorch
	for _, sign := range []string{"out of memory", "can't allocate memory", "not enough memory"} {
		if strings.Contains(text, sign) {
			kind = ErrOutOfMemory
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
