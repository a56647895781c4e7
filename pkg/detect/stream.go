package detect

import (
	"context"
	"image"
	"iter"

	"github.com/clipdet/clipdet/pkg/pixels"
)

// lookAhead is how many pictures wait, decoded, for the engine, and how many results
// for the caller.
const lookAhead = 2

// DetectAll finds the queries in a stream of pictures and yields, in order, one
// result or error for each. An error that images yields, say of a file that can't be
// decoded, is yielded in its picture's place, and the stream goes on. Options.Pictures
// of them go together.
//
// images runs on a goroutine of its own, so that its decoding, the detection and the
// caller's work on results overlap; it stays a few pictures ahead. When ctx ends, the
// last yield is its error. A caller may stop early; DetectAll returns when images has
// finished the picture in hand.
func (d *Detector) DetectAll(ctx context.Context, images iter.Seq2[image.Image, error], queries *Queries, params Params) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		stop, cancel := context.WithCancel(ctx)
		pictures := make(chan picture, max(lookAhead, d.options.Pictures))
		results := make(chan outcome, lookAhead)
		go decodeAhead(stop, images, pictures)
		go d.detectAhead(stop, pictures, queries, params, results)
		defer func() {
			cancel()
			for range results { // ends when both goroutines have ended
			}
		}()
		for r := range results {
			if !yield(r.result, r.err) {
				return
			}
		}
		if ctx.Err() != nil {
			yield(nil, context.Cause(ctx))
		}
	}
}

type picture struct {
	rgb *pixels.RGB
	err error
}

type outcome struct {
	result *Result
	err    error
}

func decodeAhead(ctx context.Context, images iter.Seq2[image.Image, error], out chan<- picture) {
	defer close(out)
	for img, err := range images {
		var rgb *pixels.RGB
		if err == nil {
			rgb, err = pixels.FromImage(img)
		}
		select {
		case out <- picture{rgb, err}:
		case <-ctx.Done():
			return
		}
	}
}

func (d *Detector) detectAhead(ctx context.Context, in <-chan picture, queries *Queries, params Params, out chan<- outcome) {
	defer close(out)
	defer func() {
		for range in { // lets decodeAhead end first
		}
	}()
	for group := range groups(in, d.options.Pictures) {
		for _, o := range d.detectGroup(ctx, group, queries, params) {
			if ctx.Err() != nil {
				return
			}
			select {
			case out <- o:
			case <-ctx.Done():
				return
			}
		}
	}
}

// groups gives what comes in n at a time, and the rest at the end.
func groups(in <-chan picture, n int) iter.Seq[[]picture] {
	return func(yield func([]picture) bool) {
		var group []picture
		for p := range in {
			if group = append(group, p); len(group) == n {
				if !yield(group) {
					return
				}
				group = nil
			}
		}
		if len(group) > 0 {
			yield(group)
		}
	}
}

// detectGroup takes the pictures of each size through the models together.
func (d *Detector) detectGroup(ctx context.Context, group []picture, queries *Queries, params Params) []outcome {
	outcomes := make([]outcome, len(group))
	sizes := make(map[image.Point][]int) // places in group
	for i, p := range group {
		if outcomes[i].err = p.err; p.err == nil {
			size := image.Pt(p.rgb.Width, p.rgb.Height)
			sizes[size] = append(sizes[size], i)
		}
	}
	for _, places := range sizes {
		together := make([]*pixels.RGB, len(places))
		for i, place := range places {
			together[i] = group[place].rgb
		}
		regions, err := d.regions(ctx, together, d.propose)
		for i, place := range places {
			o := &outcomes[place]
			switch {
			case err == nil:
				o.result, o.err = regions[i].Match(ctx, queries, params)
				regions[i].Close()
			case len(places) > 1 && ctx.Err() == nil: // one picture mustn't fail the others
				o.result, o.err = d.Detect(ctx, together[i], queries, params)
			default:
				o.err = err
			}
		}
	}
	return outcomes
}
