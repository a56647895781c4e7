package torch

// #include <stdlib.h>
// #include "call.h"
import "C"

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Module is a TorchScript module on the engine's device. The engine owns it, and frees it
// in Unload, or at the latest in Close.
type Module struct {
	engine *Engine
	path   string
	m      unsafe.Pointer
}

// settingThreads is held while a thread sets its number of threads.
var settingThreads sync.Mutex

// prepareThread sets libtorch's state of the engine's thread, and the process's profiling
// mode.
func prepareThread(threads int) {
	C.at_grad_set_enabled(0)
	C.atm_set_profiling_mode(0)
	setThreads(threads)
	C.free(unsafe.Pointer(C.get_and_reset_last_err()))
}

// setThreads sets the number of threads of the engine's operations. libtorch keeps it per
// thread and as the process's default. A thread takes the default once, at its first
// parallel work or when the number is read. So setThreads reads it at once, before
// another engine sets another default.
func setThreads(threads int) {
	settingThreads.Lock()
	defer settingThreads.Unlock()
	C.at_set_num_threads(C.int(threads))
	C.at_get_num_threads()
}

// Load reads a TorchScript archive onto the engine's device.
func (s *Scope) Load(path string) (*Module, error) {
	if s.Err() != nil {
		return nil, s.err
	}
	// libtorch's error doesn't name a missing file.
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("torch: load: %w", err)
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	m := C.atm_load_on_device(name, C.int(s.Device().code()))
	if err := takeError("load " + path); err != nil {
		return nil, err
	}
	s.engine.modules = append(s.engine.modules, libtch.Cmodule(m))
	return &Module{engine: s.engine, path: path, m: unsafe.Pointer(m)}, nil
}

// Unload frees a module of the engine. It must not be used afterwards.
func (s *Scope) Unload(m *Module) {
	if at := slices.Index(s.engine.modules, libtch.Cmodule(m.m)); at >= 0 {
		s.engine.modules = slices.Delete(s.engine.modules, at, at+1)
		libtch.AtmFree(libtch.Cmodule(m.m))
	}
}

// Call calls a method of the module with tensors. It returns the results: one tensor, or
// the tensors of a tuple. It fails if there are not exactly results of them.
func (s *Scope) Call(m *Module, method string, results int, inputs ...Tensor) []Tensor {
	out := make([]Tensor, results)
	if s.Err() != nil {
		return out
	}
	if m.engine != s.engine {
		s.Fail(fmt.Errorf("torch: call %s of %s: the module was loaded on another engine", method, m.path))
		return out
	}
	name := C.CString(method)
	defer C.free(unsafe.Pointer(name))
	in := make([]C.tensor, len(inputs)+1) // one more, so that &in[0] always exists
	for i, t := range inputs {
		in[i] = C.tensor(t.c)
	}
	raw := make([]C.tensor, results+1)
	s.engine.work.operations.Add(1)
	text := C.call_method(C.module(m.m), name, &in[0], C.int(len(inputs)), &raw[0], C.int(results))
	if text != nil {
		defer C.free(unsafe.Pointer(text))
		s.Fail(libtorchError(fmt.Sprintf("%s of %s", method, m.path), C.GoString(text)))
		return out
	}
	for i := range out {
		out[i] = Tensor{libtch.Ctensor(raw[i])}
		s.own(out[i].c)
	}
	return out
}

// Forward calls the method forward, which returns one tensor.
func (s *Scope) Forward(m *Module, inputs ...Tensor) Tensor {
	return s.Call(m, "forward", 1, inputs...)[0]
}
