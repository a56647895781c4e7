package torch

import "github.com/sugarme/gotch/libtch"

// Synchronize waits until the engine's device has finished all work. A GPU works on after
// an operation has returned, so the time between two calls of Synchronize is the time of
// the work. On the CPU it does nothing.
func (s *Scope) Synchronize() {
	if s.Err() != nil || !s.Device().IsCUDA() {
		return
	}
	libtch.AtcSynchronize(int64(s.Device().code()))
	if err := takeError("synchronize " + s.Device().String()); err != nil {
		s.Fail(err)
	}
}
