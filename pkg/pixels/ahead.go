package pixels

import (
	"context"
	"image"
	"iter"
)

// DecodeAhead returns a sequence of the pictures of sources, or their errors, in order, as
// detect.Detector.DetectAll takes it. While one is taken, decode is called concurrently for
// up to ahead further ones, which also bounds the pictures that wait in memory. The sequence
// ends early if ctx is done, also while decode still works.
func DecodeAhead[S any](ctx context.Context, sources []S, ahead int, decode func(context.Context, S) (*RGB, error)) iter.Seq2[image.Image, error] {
	type decoded struct {
		picture *RGB
		err     error
	}
	return func(yield func(image.Image, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		pending := make(chan chan decoded, max(0, ahead))
		go func() {
			defer close(pending)
			for _, source := range sources {
				done := make(chan decoded, 1)
				select {
				case pending <- done:
				case <-ctx.Done():
					return
				}
				go func() {
					picture, err := decode(ctx, source)
					done <- decoded{picture, err}
				}()
			}
		}()
		for done := range pending {
			var d decoded
			select {
			case d = <-done:
			case <-ctx.Done(): // decode may never end
				return
			}
			var picture image.Image // not a typed nil
			if d.err == nil {
				picture = d.picture
			}
			if !yield(picture, d.err) {
				return
			}
		}
	}
}
