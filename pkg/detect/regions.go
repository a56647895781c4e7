package detect

import (
	"context"
	"fmt"
	"image"
	"runtime/debug"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/crop"
	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// Regions are a picture's proposals with their embeddings: encode once, query many
// times. Close frees their memory on the device; the Detector's Close does so too.
//
// Shape letters: K proposals, V views of each, S the side of CLIP's input, D the width of an embedding.
type Regions struct {
	detector      *Detector
	width, height int
	proposals     []Proposal
	embeddings    *torch.Kept // [K,D], nil without proposals
	timings       Timings
}

// maxBoxes bounds the boxes of a picture, of which NMS compares every two; soft NMS keeps 4 bytes for each of those.
const maxBoxes = 1 << 13

// Regions finds the candidate boxes of a picture and embeds each. The picture is the
// caller's and isn't changed.
func (d *Detector) Regions(ctx context.Context, img image.Image) (_ *Regions, err error) {
	defer d.ended(ctx, "Regions", time.Now(), &err)
	return d.regionsOf(ctx, img)
}

func (d *Detector) regionsOf(ctx context.Context, img image.Image) (*Regions, error) {
	picture, err := fromImage(img)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	regions, err := d.regions(ctx, []*pixels.RGB{picture}, d.propose)
	if err != nil {
		return nil, err
	}
	return regions[0], nil
}

// RegionsAt is Regions with boxes of the caller's, in pixels of the picture, in the place
// of proposals, say to see what CLIP makes of the right boxes. They keep their order, and
// their objectness is 1. A box that isn't finite, or whose right or lower edge comes before
// the other, is ErrOption, and more than 8,192 are ErrLimit.
func (d *Detector) RegionsAt(ctx context.Context, img image.Image, boxes []box.Box) (_ *Regions, err error) {
	defer d.ended(ctx, "RegionsAt", time.Now(), &err)
	picture, err := fromImage(img)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	proposals := make([]Proposal, len(boxes))
	for i, b := range boxes {
		if !b.Valid() {
			return nil, fmt.Errorf("detect: %w: box %d is %v", ErrOption, i, b)
		}
		proposals[i] = Proposal{Box: b, Objectness: 1}
	}
	given := func(*torch.Scope, []torch.Tensor, []*Regions) ([][]Proposal, error) {
		return [][]Proposal{proposals}, nil
	}
	regions, err := d.regions(ctx, []*pixels.RGB{picture}, given)
	if err != nil {
		return nil, err
	}
	return regions[0], nil
}

// fromImage is pixels.FromImage of a picture whose own methods may panic: a nil pointer,
// or one with fewer pixels than its size says.
func fromImage(img image.Image) (rgb *pixels.RGB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the image's methods: %w", &PanicError{Value: p, Stack: debug.Stack()})
		}
	}()
	return pixels.FromImage(img)
}

// proposer gives the boxes of pictures uint8 [1,3,H,W] of one size.
type proposer func(s *torch.Scope, uploaded []torch.Tensor, all []*Regions) ([][]Proposal, error)

// propose takes the pictures through the proposal network in one batch.
func (d *Detector) propose(s *torch.Scope, uploaded []torch.Tensor, all []*Regions) ([][]Proposal, error) {
	sizes := make([]rpn.Size, len(all))
	for i, r := range all {
		sizes[i] = rpn.Size{Height: r.height, Width: r.width}
	}
	batch := uploaded[0]
	if len(uploaded) > 1 {
		batch = s.Cat(0, uploaded...)
	}
	return d.network.Propose(s, batch, sizes, d.options.Proposals)
}

// regions embeds the boxes of pictures of one size, the crops of all in CLIP's batches.
func (d *Detector) regions(ctx context.Context, pictures []*pixels.RGB, propose proposer) ([]*Regions, error) {
	all := make([]*Regions, len(pictures))
	for i, picture := range pictures {
		all[i] = &Regions{detector: d, width: picture.Width, height: picture.Height}
	}
	whole := false
	defer func() {
		if !whole { // it failed, or the logger panicked
			for _, r := range all {
				r.Close()
			}
		}
	}()
	if err := d.do(ctx, func(s *torch.Scope) error { return d.find(s, pictures, all, propose) }); err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	d.found(ctx, all)
	whole = true
	return all, nil
}

// find fills all, an entry for each picture.
func (d *Detector) find(s *torch.Scope, pictures []*pixels.RGB, all []*Regions, propose proposer) error {
	var timings Timings
	since := time.Now()
	uploaded := make([]torch.Tensor, len(pictures)) // [1,3,H,W] each
	for i, picture := range pictures {
		uploaded[i] = crop.Upload(s, picture)
	}
	since = d.lap(s, since, &timings.Upload)

	proposals, err := propose(s, uploaded, all)
	if err != nil {
		return err
	}
	views := make([]views, len(all))
	boxes := 0
	for i, r := range all {
		if n := len(proposals[i]); n > maxBoxes {
			return fmt.Errorf("%w: a picture has %d boxes, and %d are taken; ask in several calls or for fewer proposals", ErrLimit, n, maxBoxes)
		}
		r.proposals = proposals[i]
		views[i] = d.views(uploaded[i], r.width, r.height, r.boxes())
		boxes += len(r.proposals)
	}
	d.lap(s, since, &timings.RPN)
	if boxes > 0 {
		embeddings := d.embed(s, views, &timings)
		at := int64(0)
		for _, r := range all {
			if k := int64(len(r.proposals)); k > 0 {
				r.embeddings = s.Keep(s.Slice(embeddings, 0, at, at+k))
				at += k
			}
		}
	}
	for _, r := range all {
		r.timings = timings.share(len(all))
	}
	return nil
}

// views are what CLIP is to see of a picture: a list of rectangles for each of
// Options.Crops, all of one length.
type views struct {
	uploaded torch.Tensor // uint8 [1,3,H,W]
	rects    [][]image.Rectangle
}

func (d *Detector) views(uploaded torch.Tensor, width, height int, boxes []box.Box) views {
	v := views{uploaded: uploaded}
	for _, seen := range d.options.Crops {
		v.rects = append(v.rects, seen.rects(boxes, width, height))
	}
	return v
}

// embed gives what CLIP sees of the boxes of several pictures, one after the other: unit
// [K,D]. There is at least one.
func (d *Detector) embed(s *torch.Scope, pictures []views, timings *Timings) torch.Tensor {
	since := time.Now()
	size, mean := d.files.Image.Manifest.InputSize, d.files.Image.Manifest.Mean
	var all []torch.Tensor // [K,D] of each view
	for view, seen := range d.options.Crops {
		var cuts cuts
		for i, picture := range pictures {
			for _, rect := range picture.rects[view] {
				cuts.add(i, rect)
			}
		}
		embeddings := d.image.EncodeAll(s, len(cuts.different), d.options.Batch, func(low, high int) torch.Tensor {
			// What ran since then encoded the batch before.
			since = d.lap(s, since, &timings.Encode)
			var parts []torch.Tensor // [N,3,S,S] of each picture
			for i, rects := range cuts.between(low, high) {
				parts = append(parts, crop.Crops(s, pictures[i].uploaded, rects, crop.Mode(seen.Mode), size, mean))
			}
			crops := s.Cat(0, parts...)
			since = d.lap(s, since, &timings.Crop)
			return crops
		})
		rows := torch.Upload(s, cuts.rows, int64(len(cuts.rows)))
		all = append(all, s.IndexSelect(embeddings, 0, rows))
	}
	embeddings := all[0]
	if v := int64(len(all)); v > 1 {
		shape := s.Shape(embeddings)
		mean := s.DivBy(s.Sum(s.Reshape(s.Cat(0, all...), append([]int64{v}, shape...)...), 0), float64(v))
		embeddings = s.Unit(mean)
	}
	d.lap(s, since, &timings.Encode)
	return embeddings
}

func (r *Regions) boxes() []box.Box {
	boxes := make([]box.Box, len(r.proposals))
	for i, p := range r.proposals {
		boxes[i] = p.Box
	}
	return boxes
}

// Size is the picture's width and height in pixels.
func (r *Regions) Size() (width, height int) { return r.width, r.height }

// Proposals are the candidate boxes, best first. The slice is the caller's.
func (r *Regions) Proposals() []Proposal { return append([]Proposal(nil), r.proposals...) }

// Close frees the embeddings. It may be called twice.
func (r *Regions) Close() { r.embeddings.Drop() }

// lap adds the time since then to a stage that ends, and gives the time now.
func (d *Detector) lap(s *torch.Scope, then time.Time, stage *time.Duration) time.Time {
	if d.options.Synchronize {
		s.Synchronize()
	}
	now := time.Now()
	*stage += now.Sub(then)
	return now
}
