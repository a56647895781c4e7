package detect

import (
	"context"
	"fmt"
	"image"
	"runtime/debug"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// Regions are the proposals of a picture and their embeddings, computed once and matched
// with any number of queries. Close frees their memory on the device, and so does the
// Detector's Close.
type Regions struct {
	detector      *Detector
	width, height int
	boxes         []box.Box   // [K,4]
	objectness    []float32   // [K]
	objectnessOn  *torch.Kept // [K,1] or more rows, nil without proposals
	embeddings    *torch.Kept // [K,D] or more rows, nil without proposals
	timings       Timings
}

// maxBoxes is the largest number of boxes of a picture. NMS compares every two of them,
// and soft NMS keeps 4 bytes for each of their ordered pairs.
const maxBoxes = 1 << 13

// WithProposals is an image with the caller's own candidate boxes in place of the
// proposal network's. [Detector.Detect], [Detector.DetectAll] and [Detector.Regions] take
// it, or a pointer to it. The boxes may come from another source of proposals, or from
// annotations, to measure CLIP alone.
type WithProposals struct {
	image.Image
	// Proposals are in pixels of the image and keep their order. A box that isn't finite,
	// or whose right or lower edge comes before the other, is ErrOption. So is an
	// objectness outside [0,1]. More than 8,192 boxes are ErrLimit.
	Proposals []Proposal
}

// Regions finds the candidate boxes of img and embeds each of them. It doesn't change
// img. If ctx ends, Regions returns at once, and img isn't read afterwards. The caller
// closes the Regions.
func (d *Detector) Regions(ctx context.Context, img image.Image) (_ *Regions, err error) {
	defer d.callEnds(ctx, "Regions", time.Now(), &err)
	t, err := d.prepare(ctx, img)
	if err != nil {
		return nil, err
	}
	d.queue.add(t)
	return d.embed(t)
}

// embed waits for a task of the queue that has no queries.
func (d *Detector) embed(t *task) (regions *Regions, err error) {
	o := t.wait(d.queue)
	if o.err != nil {
		return nil, fmt.Errorf("detect: %w", o.err)
	}
	defer func() {
		if regions == nil { // the logger panicked, and the caller has nothing to close
			o.regions.Close()
		}
	}()
	d.regionsEnd(t.ctx, o.regions)
	return o.regions, nil
}

// prepare checks an image, and its own proposals if it has them, and makes its task.
func (d *Detector) prepare(ctx context.Context, img image.Image) (*task, error) {
	if pointed, ok := img.(*WithProposals); ok && pointed != nil {
		img = *pointed
	}
	given, own := img.(WithProposals)
	if own {
		img = given.Image
	}
	picture, err := fromImage(img)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	t := newTask(ctx, picture)
	if t.own = own; own {
		if n := len(given.Proposals); n > maxBoxes {
			return nil, fmt.Errorf("detect: %w: %d boxes, and %d are taken; ask in several calls", ErrLimit, n, maxBoxes)
		}
		for i, p := range given.Proposals {
			if !p.Box.Valid() || !(p.Objectness >= 0 && p.Objectness <= 1) {
				return nil, fmt.Errorf("detect: %w: box %d is %v with the objectness %v", ErrOption, i, p.Box, p.Objectness)
			}
		}
		t.given = slices.Clone(given.Proposals)
	}
	return t, nil
}

// fromImage is pixels.FromImage, except that a panic of the image's own methods is a
// PanicError. They panic on a nil pointer, and on an image with fewer pixels than its
// size says.
func fromImage(img image.Image) (rgb *pixels.RGB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the image's methods: %w", &PanicError{Value: p, Stack: debug.Stack()})
		}
	}()
	return pixels.FromImage(img)
}

// Proposals returns the candidate boxes, in pixels of the picture. Boxes of the proposal
// network come best first, and boxes of WithProposals in their order. The caller owns the
// slice.
func (r *Regions) Proposals() []Proposal {
	all := make([]Proposal, len(r.boxes))
	for i := range all {
		all[i] = Proposal{Box: r.boxes[i], Objectness: r.objectness[i]}
	}
	return all
}

// Size returns the size of the picture in pixels.
func (r *Regions) Size() (width, height int) { return r.width, r.height }

// Embeddings returns the unit embedding of each proposal, [K,D], in the order of
// Proposals. The caller owns the slices. It fails with ErrClosed after Close, unless
// there is no proposal.
func (r *Regions) Embeddings(ctx context.Context) ([][]float32, error) {
	if len(r.boxes) == 0 {
		return nil, nil
	}
	return r.detector.rows(ctx, r.embeddings, len(r.boxes))
}

// rows returns the first n rows of a kept tensor [N,D].
func (d *Detector) rows(ctx context.Context, kept *torch.Kept, n int) ([][]float32, error) {
	var values []float32
	err := d.onEngineBetween(ctx, func(s *torch.Scope) error {
		values = torch.Download[float32](s, s.Slice(s.Use(kept), 0, 0, int64(n)))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("detect: embeddings: %w", err)
	}
	width := len(values) / n
	return slices.Collect(slices.Chunk(values, width)), nil
}

// Close frees the embeddings. It may be called more than once, and on nil.
func (r *Regions) Close() {
	if r != nil {
		r.embeddings.Drop()
		r.objectnessOn.Drop()
	}
}

// Match finds the queries among the regions. It fails with ErrClosed if the regions, the
// queries or the detector are closed, unless there is no region.
func (r *Regions) Match(ctx context.Context, queries *Queries, params Params) (_ *Result, err error) {
	defer r.detector.callEnds(ctx, "Match", time.Now(), &err)
	m, err := r.detector.matching(queries, params)
	if err != nil {
		return nil, err
	}
	if m.Tile != 0 {
		return nil, fmt.Errorf("detect: match: %w: Tile is %d, and regions have no tiles; use Detect or DetectAll", ErrOption, m.Tile)
	}
	var top ranking
	if len(r.boxes) > 0 {
		if err := m.limit(len(r.boxes)); err != nil {
			return nil, fmt.Errorf("detect: match: %w", err)
		}
		err = r.detector.onEngineBetween(ctx, func(s *torch.Scope) error {
			k := int64(len(r.boxes))
			first := func(t *torch.Kept) torch.Tensor { return s.Slice(s.Use(t), 0, 0, k) }
			made, err := r.detector.rank(s, first(r.embeddings), first(r.objectnessOn), torch.Tensor{}, m)
			if err == nil {
				top, err = r.detector.ranking(s, made)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("detect: match: %w", err)
		}
	}
	return r.result(ctx, top, m)
}
