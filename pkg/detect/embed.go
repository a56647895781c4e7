package detect

import (
	"fmt"
	"image"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/clip"
	"github.com/clipdet/clipdet/pkg/internal/crop"
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
		if groups[size] = append(groups[size], t); !s.Device().IsCUDA() {
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

// pendingCrop is a rectangle of a picture that CLIP is to see.
type pendingCrop struct {
	task *task
	view int // of Options.Crops
	rect image.Rectangle
}

// pendingCrops returns the rectangles of all boxes and views of the tasks, task by task and view
// by view. Boxes that round to the same pixels, as those of small things do, share one.
func (d *Detector) pendingCrops(batch []*task) []pendingCrop {
	var all []pendingCrop
	for _, t := range batch {
		places := make(map[pendingCrop]int64)
		t.views = make([][]int64, len(d.options.Crops))
		for view, seen := range d.options.Crops {
			for _, rect := range seen.rects(t.boxes, t.picture.Width, t.picture.Height) {
				c := pendingCrop{t, view, rect}
				place, known := places[c]
				if !known {
					place = int64(len(places))
					places[c] = place
					all = append(all, c)
				}
				t.views[view] = append(t.views[view], place)
			}
		}
		t.pending = len(places)
	}
	return all
}

// embed cuts out the next crops of those that wait, as many as a batch takes, and embeds
// them: unit [n,D].
func (d *Detector) embed(s *torch.Scope, batches *clip.Batches, waiting []pendingCrop) (embeddings torch.Tensor, n int) {
	since := time.Now()
	var cutting, encoding time.Duration
	embeddings, n = batches.Next(s, len(waiting), func(n int) torch.Tensor {
		crops := d.crops(s, waiting[:n])
		since = d.addTime(s, since, &cutting)
		return crops
	})
	d.addTime(s, since, &encoding)
	for _, c := range waiting[:n] {
		c.task.timings[StageCrop] += cutting / time.Duration(n)
		c.task.timings[StageEncode] += encoding / time.Duration(n)
	}
	return embeddings, n
}

// crops cuts rectangles out of their pictures: float32 [N,3,S,S] in [0,1].
func (d *Detector) crops(s *torch.Scope, pending []pendingCrop) torch.Tensor {
	manifest := d.files.Image.Manifest
	var parts []torch.Tensor
	for len(pending) > 0 {
		first := pending[0]
		var rects []image.Rectangle
		for len(pending) > 0 && pending[0].task == first.task && pending[0].view == first.view {
			rects, pending = append(rects, pending[0].rect), pending[1:]
		}
		mode := crop.Mode(d.options.Crops[first.view].Mode)
		parts = append(parts, crop.Crops(s, first.task.uploaded, rects, mode, manifest.InputSize, manifest.Mean))
	}
	return s.Cat(0, parts...)
}

// assign gives each task its rows of the embeddings [n,D] of crops, and returns the tasks
// that now have all.
func assign(s *torch.Scope, embeddings torch.Tensor, pending []pendingCrop) (complete []*task) {
	for low := 0; low < len(pending); {
		t, high := pending[low].task, low
		for high < len(pending) && pending[high].task == t {
			high++
		}
		t.embedded = append(t.embedded, s.Slice(embeddings, 0, int64(low), int64(high)))
		if t.pending -= high - low; t.pending == 0 {
			s.Free(t.uploaded)
			complete = append(complete, t)
		}
		low = high
	}
	return complete
}

// embeddings returns the unit embedding of each of a task's boxes, [K,D]: the mean of
// its views.
func (t *task) embeddings(s *torch.Scope) torch.Tensor {
	embedded := s.Cat(0, t.embedded...)
	all := make([]torch.Tensor, len(t.views)) // [K,D] each
	for i, rows := range t.views {
		all[i] = s.IndexSelect(embedded, 0, torch.Upload(s, rows, int64(len(rows))))
	}
	if len(all) == 1 {
		return all[0]
	}
	shape := append([]int64{int64(len(all))}, s.Shape(all[0])...)
	views := s.Reshape(s.Cat(0, all...), shape...) // [V,K,D]
	return s.Unit(s.DivBy(s.Sum(views, 0), float64(len(all))))
}

// addTime adds the time since then to a stage that ends, and returns the time now.
func (d *Detector) addTime(s *torch.Scope, then time.Time, stage *time.Duration) time.Time {
	if d.options.Synchronize {
		s.Synchronize()
	}
	now := time.Now()
	*stage += now.Sub(then)
	return now
}
