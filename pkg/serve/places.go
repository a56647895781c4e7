package serve

import (
	"fmt"
	"sync"
)

// places are those of the queue: of the pictures, and the requests without one, that wait
// or run.
type places struct {
	mu   sync.Mutex
	all  int
	used int
}

func newPlaces(n int) *places { return &places{all: n} }

// take takes n places, or fails with ErrBusy.
func (p *places) take(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used+n > p.all {
		return fmt.Errorf("%w: %d of %d places are taken, and %d more are asked for; try again later", ErrBusy, p.used, p.all, n)
	}
	p.used += n
	return nil
}

func (p *places) giveBack(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= n
}

// taken returns the number of places that are taken.
func (p *places) taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}
