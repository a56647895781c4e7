package detect

import (
	"context"
	"fmt"
	"image"
	"iter"
	"maps"
	"runtime/debug"
	"time"

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
// caller's work on results overlap; it stays a few pictures ahead. Where it panics, or
// ends its goroutine, the last yield is an ErrPanic, after the results of the pictures
// before, and so it is where Options.Logger does. Where a picture's own methods panic,
// that is the picture's error.
//
// A *pixels.RGB isn't copied: it must not be changed before its result is yielded. Other
// images may be, as soon as images goes on.
//
// When ctx ends, the last yield is its error, at once. A caller may stop early. In both
// cases DetectAll returns only when images has finished the picture in hand, so that
// nothing of the caller's runs on unseen: a stream that may block has to watch ctx too.
// After d.Close each picture that comes gives ErrClosed.
func (d *Detector) DetectAll(ctx context.Context, images iter.Seq2[image.Image, error], queries *Queries, params Params) iter.Seq2[*Result, error] {
	params.Thresholds = maps.Clone(params.Thresholds) // the loop may change its own
	return func(yield func(*Result, error) bool) {
		stop, cancel := context.WithCancel(ctx)
		pictures := make(chan picture, max(lookAhead, d.options.Pictures))
		results := make(chan outcome, lookAhead)
		go decodeAhead(stop, images, pictures)
		go d.detectAhead(stop, cancel, pictures, queries, params, results)
		defer func() {
			cancel()
			for range results { // ends when both goroutines have ended
			}
		}()
		for {
			select {
			case r, ok := <-results:
				if !ok {
					if ctx.Err() != nil {
						yield(nil, context.Cause(ctx))
					}
					return
				}
				if !yield(r.result, r.err) {
					return
				}
			case <-ctx.Done(): // the stream may block
				yield(nil, context.Cause(ctx))
				return
			}
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
	send := func(p picture) bool {
		select {
		case out <- p:
			return true
		case <-ctx.Done():
			return false
		}
	}
	panicked := &PanicError{Value: "runtime.Goexit"} // what it stays where images doesn't come back
	defer func() {
		if p := recover(); p != nil {
			panicked = &PanicError{Value: p, Stack: debug.Stack()}
		}
		if panicked != nil {
			send(picture{err: fmt.Errorf("detect: the stream of images: %w", panicked)})
		}
	}()
	for img, err := range images {
		var rgb *pixels.RGB
		if err == nil {
			rgb, err = fromImage(img)
		}
		if !send(picture{rgb, err}) {
			break
		}
	}
	panicked = nil
}

func (d *Detector) detectAhead(ctx context.Context, cancel func(), in <-chan picture, queries *Queries, params Params, out chan<- outcome) {
	defer close(out)
	defer func() {
		cancel()
		for range in { // lets decodeAhead end first
		}
	}()
	send := func(o outcome) bool {
		if ctx.Err() != nil {
			return false
		}
		select {
		case out <- o:
			return true
		case <-ctx.Done():
			return false
		}
	}
	panicked := &PanicError{Value: "runtime.Goexit"} // as in decodeAhead, of the logger or the methods of the stream's errors
	defer func() {
		if p := recover(); p != nil {
			panicked = &PanicError{Value: p, Stack: debug.Stack()}
		}
		if panicked != nil {
			send(outcome{err: fmt.Errorf("detect: %w", panicked)})
		}
	}()
	for group := range groups(in, d.options.Pictures) {
		for _, o := range d.detectGroup(ctx, group, queries, params) {
			if !send(o) {
				panicked = nil
				return
			}
		}
	}
	panicked = nil
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
	outcomes, since := make([]outcome, len(group)), time.Now()
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
				o.result, o.err = regions[i].match(ctx, queries, params)
				regions[i].Close()
			case len(places) > 1 && ctx.Err() == nil: // one picture mustn't fail the others
				o.result, o.err = d.detect(ctx, together[i], queries, params)
			default:
				o.err = err
			}
		}
	}
	for i := range outcomes {
		d.ended(ctx, "DetectAll", since, &outcomes[i].err)
	}
	return outcomes
}
