package torch

import "sync/atomic"

// Work is what an engine's device was given to do. The counts only grow.
type Work struct {
	Operations int64 // calls of libtorch that make tensors; a call of a module is one
	Uploads    int64 // copies from the host to the device
	Downloads  int64 // copies from the device to the host, each of which waits for it
}

// Sub returns what was done since before.
func (w Work) Sub(before Work) Work {
	return Work{w.Operations - before.Operations, w.Uploads - before.Uploads, w.Downloads - before.Downloads}
}

type work struct{ operations, uploads, downloads atomic.Int64 }

// Work returns the counts. On the CPU, a copy between host and device is counted as a GPU
// would make it.
func (e *Engine) Work() Work {
	return Work{e.work.operations.Load(), e.work.uploads.Load(), e.work.downloads.Load()}
}
