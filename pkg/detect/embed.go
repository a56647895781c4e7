package detect

import (
	"image"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/clip"
	"github.com/clipdet/clipdet/pkg/internal/crop"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// pendingCrop is a part of a picture that CLIP is to see: a rectangle, or on a GPU a box
// that may be known to the device alone.
type pendingCrop struct {
	task *task
	view int // of Options.Crops
	row  int // of the box, on a GPU
	rect image.Rectangle
}

// pendingCrops returns the rectangles of all boxes and views of the tasks, task by task
// and view by view. Boxes that round to the same pixels share one, as boxes of small
// things do. On a GPU they don't, because one more embedding costs less than to find out
// which boxes share it.
func (d *Detector) pendingCrops(batch []*task) []pendingCrop {
	var all []pendingCrop
	for _, t := range batch {
		t.views = make([][]int64, len(d.options.Crops))
		first, places := len(all), make(map[pendingCrop]int64)
		for view, seen := range d.options.Crops {
			if d.engine.Device().LikeGPU() {
				for row := range t.found.Most {
					t.views[view] = append(t.views[view], int64(len(all)-first))
					all = append(all, pendingCrop{task: t, view: view, row: row})
				}
				continue
			}
			for _, rect := range seen.rects(t.boxes, t.picture.Width, t.picture.Height) {
				c := pendingCrop{task: t, view: view, rect: rect}
				place, known := places[c]
				if !known {
					place = int64(len(all) - first)
					places[c] = place
					all = append(all, c)
				}
				t.views[view] = append(t.views[view], place)
			}
		}
		t.pending = len(all) - first
	}
	return all
}

// cropAndEmbed cuts the pixels of the next crops that wait, as many as a batch takes, and
// embeds them: unit [n,D].
func (d *Detector) cropAndEmbed(s *torch.Scope, batches *clip.Batches, waiting []pendingCrop) (embeddings torch.Tensor, n int) {
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

// crops cuts parts out of their pictures: float32 [N,3,S,S] in [0,1].
func (d *Detector) crops(s *torch.Scope, pending []pendingCrop) torch.Tensor {
	manifest := d.files.Image.Manifest
	var parts []torch.Tensor
	for len(pending) > 0 {
		first, n := pending[0], 1
		for n < len(pending) && pending[n].task == first.task && pending[n].view == first.view {
			n++
		}
		same := pending[:n]
		pending = pending[n:]
		seen := d.options.Crops[first.view]
		mode := seen.mode(manifest)
		if s.Device().LikeGPU() {
			boxes := s.Slice(first.task.found.Boxes(s), 0, int64(first.row), int64(first.row+n))
			parts = append(parts, crop.OnDevice(s, first.task.uploaded, boxes, seen.Context, mode, manifest.InputSize, manifest.Mean))
			continue
		}
		rects := make([]image.Rectangle, n)
		for i, c := range same {
			rects[i] = c.rect
		}
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
		if consecutive(rows) { // nothing is to be uploaded
			all[i] = s.Slice(embedded, 0, rows[0], rows[0]+int64(len(rows)))
			continue
		}
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

// consecutive reports whether each row follows the row before it.
func consecutive(rows []int64) bool {
	for i, row := range rows {
		if row != rows[0]+int64(i) {
			return false
		}
	}
	return true
}
