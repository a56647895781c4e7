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
// decoded, is yielded in its picture's place, and the stream goes on.
//
// images runs on a goroutine of its own, so that its decoding, the detection and the
// caller's work on results overlap; it stays a few pictures ahead. When ctx ends, the
// last yield is its error. A caller may stop early; DetectAll returns when images has
// finished the picture in hand.
func (d *Detector) DetectAll(ctx context.Context, images iter.Seq2[image.Image, error], queries *Queries, params Params) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		stop, cancel := context.WithCancel(ctx)
		pictures := make(chan picture, lookAhead)
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
	for p := range in {
		var result *Result
		if p.err == nil {
			result, p.err = d.Detect(ctx, p.rgb, queries, params)
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case out <- outcome{result, p.err}:
		case <-ctx.Done():
			return
		}
	}
}
