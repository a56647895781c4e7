package detect

import (
	"fmt"
	"image"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// propose uploads the pictures and finds their boxes. A GPU proposes for pictures of one
// size together, and they stay there. A CPU takes one picture at a time, so that its
// proposals don't depend on the other pictures, and reads them at once.
func (d *Detector) propose(s *torch.Scope, batch []*task) error {
	groups := make(map[image.Point][]*task)
	for _, t := range batch {
		since := time.Now()
		if t.canceled() || !t.upload(s) {
			continue
		}
		d.addTime(s, since, &t.timings[StageUpload])
		if t.own {
			for _, p := range t.given {
				t.boxes, t.objectness = append(t.boxes, p.Box), append(t.objectness, p.Objectness)
			}
			t.found = rpn.Given(s, rpn.Proposals{Boxes: t.boxes, Objectness: t.objectness})
			continue
		}
		size := image.Pt(t.picture.Width, t.picture.Height)
		if groups[size] = append(groups[size], t); !s.Device().LikeGPU() {
			if err := d.proposeTogether(s, groups[size]); err != nil {
				return err
			}
			delete(groups, size)
		}
	}
	for _, group := range groups {
		if err := d.proposeTogether(s, group); err != nil {
			return err
		}
	}
	return s.Err()
}

// proposeTogether runs the proposal network on pictures of one size.
func (d *Detector) proposeTogether(s *torch.Scope, group []*task) error {
	since := time.Now()
	sizes, uploaded := make([]rpn.Size, len(group)), make([]torch.Tensor, len(group))
	for i, t := range group {
		sizes[i], uploaded[i] = rpn.Size{Height: t.picture.Height, Width: t.picture.Width}, t.uploaded
	}
	pictures := uploaded[0] // [B,3,H,W]
	if len(uploaded) > 1 {
		pictures = s.Cat(0, uploaded...)
	}
	found, err := d.network.Propose(s, pictures, sizes, d.options.Proposals)
	if err != nil {
		return err
	}
	for i, t := range group {
		t.found, t.unread = found[i], s.Device().LikeGPU()
		if n := t.found.Most; n > maxBoxes {
			return fmt.Errorf("%w: a picture may have %d boxes, and %d are taken; ask for fewer proposals", ErrLimit, n, maxBoxes)
		}
		if t.unread {
			continue
		}
		numbers := torch.Download[float32](s, t.found.Numbers(s))
		if err := s.Err(); err != nil {
			return err
		}
		if err := d.readProposals(t, numbers); err != nil {
			return err
		}
		t.found = t.found.First(s, len(t.boxes))
	}
	var took time.Duration
	d.addTime(s, since, &took)
	for _, t := range group {
		t.timings[StageRPN] += took / time.Duration(len(group))
	}
	return nil
}

// readProposals takes a task's proposals from their Numbers.
func (d *Detector) readProposals(t *task, numbers []float32) error {
	p, err := d.network.Read(t.found, numbers, rpn.Size{Height: t.picture.Height, Width: t.picture.Width})
	t.boxes, t.objectness = p.Boxes, p.Objectness
	return err
}
