package torch

import "github.com/sugarme/gotch/libtch"

// Synchronize waits until the engine's device has done all that it was given. Work on
// a GPU goes on behind the operations that ask for it, so that a clock says something
// only between two of these. On the CPU there is nothing to wait for.
func (s *Scope) Synchronize() {
	if s.Err() != nil || !s.Device().IsCUDA() {
		return
	}
	libtch.AtcSynchronize(int64(s.Device().code()))
	if err := takeError("synchronize " + s.Device().String()); err != nil {
		s.Fail(err)
	}
}
