package detect

import (
	"fmt"
	"image"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// propose uploads the pictures and finds their boxes. A GPU proposes for pictures of one
// size together. A CPU takes one picture at a time, so that its proposals don't depend on
// the other pictures.
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
			t.objectnessOn = torch.Upload(s, t.objectness, int64(len(t.objectness)), 1)
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
	proposals, err := d.network.Propose(s, pictures, sizes, d.options.Proposals)
	if err != nil {
		return err
	}
	var took time.Duration
	d.addTime(s, since, &took)
	for i, t := range group {
		t.boxes, t.objectness, t.objectnessOn = proposals[i].Boxes, proposals[i].Objectness, proposals[i].ObjectnessOn
		t.timings[StageRPN] += took / time.Duration(len(group))
		if n := len(t.boxes); n > maxBoxes {
			return fmt.Errorf("%w: a picture has %d boxes, and %d are taken; ask for fewer proposals", ErrLimit, n, maxBoxes)
		}
	}
	return nil
}
