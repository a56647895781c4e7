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
	// ErrClosed says that the engine, or what was kept on it, has been closed.
	ErrClosed = errors.New("engine is closed")
	// ErrDevice says that a device was misnamed or isn't there.
	ErrDevice = errors.New("device not available")
	// ErrLibtorch is every failure that libtorch itself reports.
	ErrLibtorch = errors.New("libtorch")
	// ErrOutOfMemory is an ErrLibtorch for memory, of the host or of the device.
	ErrOutOfMemory = fmt.Errorf("%w: out of memory", ErrLibtorch)
	// ErrPanic is every PanicError.
	ErrPanic = errors.New("panic")
)

// PanicError is a panic of a caller's code that ran on another goroutine than the
// caller's, where no recover of the caller's could meet it. It is an ErrPanic.
type PanicError struct {
	Value any    // of the panic; "runtime.Goexit" where the code ended its goroutine
	Stack []byte // as of runtime/debug.Stack
}

func (e *PanicError) Error() string { return fmt.Sprintf("%v: %v", ErrPanic, e.Value) }

// Unwrap gives ErrPanic.
func (e *PanicError) Unwrap() error { return ErrPanic }

// takeError fetches and clears libtorch's last error. It must run on the engine's
// thread, where the failed call ran: libtorch keeps the text per thread.
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

// firstLine takes what libtorch says to people out of what it says to itself: the
// text without the C++ backtrace and, for a failed script, without its traceback.
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
