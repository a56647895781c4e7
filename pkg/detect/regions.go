package detect

import (
	"context"
	"fmt"
	"image"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/rpn"
	"github.com/clipdet/clipdet/pkg/torch"
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

// Regions finds the candidate boxes of a picture and embeds each. The picture is the
// caller's and isn't changed.
func (d *Detector) Regions(ctx context.Context, img image.Image) (*Regions, error) {
	picture, err := pixels.FromImage(img)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	r := &Regions{detector: d, width: picture.Width, height: picture.Height}
	err = d.engine.Do(ctx, func(s *torch.Scope) error { return r.find(s, picture) })
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	return r, nil
}

func (r *Regions) find(s *torch.Scope, picture *pixels.RGB) error {
	d, since := r.detector, time.Now()
	uploaded := pixels.Upload(s, picture) // [1,3,H,W]
	since = d.lap(s, since, &r.timings.Upload)

	proposals, err := d.network.Propose(s, uploaded, []rpn.Size{{Height: r.height, Width: r.width}}, d.options.Proposals)
	if err != nil {
		return err
	}
	r.proposals = proposals[0]
	d.lap(s, since, &r.timings.RPN)
	if len(r.proposals) == 0 {
		return nil
	}

	r.embeddings = s.Keep(d.embed(s, uploaded, r.boxes(), r.width, r.height, &r.timings))
	return nil
}

// embed gives what CLIP sees of each box of an uploaded picture of width x height
// pixels: unit [K,D].
func (d *Detector) embed(s *torch.Scope, uploaded torch.Tensor, boxes []box.Box, width, height int, timings *Timings) torch.Tensor {
	since := time.Now()
	size, mean := d.files.Image.Manifest.InputSize, d.files.Image.Manifest.Mean
	var views []torch.Tensor // [K,D] each
	for _, crop := range d.options.Crops {
		rects := make([]image.Rectangle, len(boxes))
		for i, b := range boxes {
			rects[i] = crop.Rect(b, width, height)
		}
		views = append(views, d.image.EncodeAll(s, len(rects), d.options.Batch, func(low, high int) torch.Tensor {
			// What ran since then encoded the batch before.
			since = d.lap(s, since, &timings.Encode)
			crops := pixels.Crops(s, uploaded, rects[low:high], crop, size, mean) // [N,3,S,S]
			since = d.lap(s, since, &timings.Crop)
			return crops
		}))
	}
	embeddings := views[0]
	if v := int64(len(views)); v > 1 {
		embeddings = s.Reshape(s.Cat(0, views...), v, int64(len(boxes)), -1) // [V,K,D]
		embeddings = s.Unit(s.DivBy(s.Sum(embeddings, 0), float64(v)))
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
