package torch

import (
	"errors"
	"testing"
)

func TestSynchronizeIsAnOperation(t *testing.T) {
	e := start(t)
	if err := e.Do(t.Context(), func(s *Scope) error {
		a := Upload(s, []float32{1, 4}, 2)
		s.Sqrt(a)
		s.Synchronize()
		return nil
	}); err != nil {
		t.Error(err)
	}
	own := errors.New("own")
	if err := e.Do(t.Context(), func(s *Scope) error {
		s.Fail(own)
		s.Synchronize()
		return nil
	}); err != own {
		t.Errorf("got %v after a failed scope, want its own error", err)
	}
}
