package serve

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/index"
)

// searched is the index that searches ask. It is opened again when its files have gone.
type searched struct {
	again func() (*index.Index, error) // may be nil

	mu  sync.Mutex
	now *index.Index // nil without one
}

// index returns the index as it was opened last, or nil.
func (s *searched) index() *index.Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// search asks the index, and once more if it was opened again in between.
func (s *searched) search(ctx context.Context, det *detect.Detector, queries *detect.Queries, params index.Params) ([][]index.Hit, error) {
	old := s.index()
	hits, err := old.Search(ctx, det, queries, params)
	if !errors.Is(err, index.ErrChanged) || s.again == nil {
		return hits, err
	}
	ix, err := s.reopen(old, det.Info())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", index.ErrChanged, err)
	}
	return ix.Search(ctx, det, queries, params)
}

// reopen returns what has taken the place of an index.
func (s *searched) reopen(old *index.Index, info detect.Info) (*index.Index, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != old { // another request was faster
		return s.now, nil
	}
	ix, err := s.again()
	if err != nil {
		return nil, err
	}
	if err := ix.Check(info); err != nil {
		return nil, err
	}
	s.now = ix
	return ix, nil
}
