package intake

import (
	"context"
	"fmt"
	"sync"

	"github.com/clipdet/clipdet/pkg/pixels"
)

// frames replaces each animation among the inputs by its frames.
func (e *expansion) frames(limits pixels.Limits) {
	var inputs []Input
	for _, in := range e.found.Inputs {
		var found *pixels.Animation
		if in.Err == nil && in.read == nil {
			found, _ = pixels.OpenAnimation(in.Path, limits) // decoding tells what is wrong
		}
		if found == nil {
			inputs = append(inputs, in)
			continue
		}
		e.found.List = true
		a := &animation{path: in.Path, frames: found.Len(), made: map[int]decodedFrame{}}
		for k := range a.frames {
			inputs = append(inputs, Input{
				Path: fmt.Sprintf("%s#frame=%d", in.Path, k+1),
				read: func(_ context.Context, limits pixels.Limits) (*pixels.RGB, error) { return a.frame(k, limits) },
			})
		}
	}
	e.found.Inputs = inputs
}

// animation is a file whose frames are inputs. It is open from its first frame to its
// last. Frames may be asked for by several goroutines, and nearly in order.
type animation struct {
	path   string
	frames int

	mu    sync.Mutex
	open  *pixels.Animation
	err   error
	next  int
	made  map[int]decodedFrame // made and not yet asked for
	given int
}

// mostAhead is more than the inputs that are decoded at once.
const mostAhead = 16

type decodedFrame struct {
	picture *pixels.RGB
	err     error
}

func (a *animation) frame(k int, limits pixels.Limits) (*pixels.RGB, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil && a.err == nil {
		a.open, a.err = openAnimation(a.path, limits)
	}
	if a.err != nil {
		return nil, a.err
	}
	for ; a.next <= k; a.next++ {
		picture, err := a.open.Next()
		if err != nil {
			err = fmt.Errorf("%s: %w", a.path, err)
		}
		a.made[a.next] = decodedFrame{picture, err}
	}
	delete(a.made, k-mostAhead) // wasn't asked for
	frame := a.made[k]
	delete(a.made, k)
	if a.given++; a.given == a.frames {
		a.open = nil
	}
	return frame.picture, frame.err
}

// openAnimation fails if a file is no animation any more.
func openAnimation(path string, limits pixels.Limits) (*pixels.Animation, error) {
	a, err := pixels.OpenAnimation(path, limits)
	if err == nil && a == nil {
		err = fmt.Errorf("%s: %w: it was an animation before", path, pixels.ErrBroken)
	}
	return a, err
}
