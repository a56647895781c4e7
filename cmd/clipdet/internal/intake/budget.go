package intake

import (
	"context"
	"image"
	"iter"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the memory of decoded pictures, from when they are passed on to detection
// until they are drawn. The pictures take their parts in the order of the inputs, and
// each part is given back by Release. A Budget is safe for concurrent use.
type Budget struct {
	free *semaphore.Weighted
	most int64 // bytes, the largest part of one picture
}

// NewBudget returns a Budget of the given size in MiB. At least together+1 pictures fit
// at once, regardless of their size, so that large pictures don't reduce the number that
// the detector takes together.
func NewBudget(mebibytes, together int) *Budget {
	size := int64(mebibytes) << 20
	return &Budget{semaphore.NewWeighted(size), max(1, size/int64(together+1))}
}

// Keep returns a sequence that yields up to n images, each as soon as it fits into the
// budget. The sequence ends early if ctx is done. The channel kept delivers the same
// images in the same order, nil for an input that failed. The receiver must call Release
// for each. kept is never closed.
func (b *Budget) Keep(ctx context.Context, images iter.Seq2[image.Image, error], n int) (passed iter.Seq2[image.Image, error], kept <-chan image.Image) {
	decoded := make(chan image.Image, n) // a send never blocks
	return func(yield func(image.Image, error) bool) {
		for picture, err := range images {
			if b.Acquire(ctx, picture) != nil {
				return
			}
			decoded <- picture
			if !yield(picture, err) {
				return
			}
		}
	}, decoded
}

// Acquire waits until the picture fits. A nil picture takes nothing. Acquire fails only
// if ctx is done.
func (b *Budget) Acquire(ctx context.Context, picture image.Image) error {
	return b.free.Acquire(ctx, b.size(picture))
}

// Release gives back what Acquire took for the picture.
func (b *Budget) Release(picture image.Image) { b.free.Release(b.size(picture)) }

// size returns the bytes that a picture takes: 3 per pixel as decoded, and as many again
// while it is drawn or detected.
func (b *Budget) size(picture image.Image) int64 {
	if picture == nil {
		return 0
	}
	size := picture.Bounds().Size()
	return min(b.most, 2*3*int64(size.X)*int64(size.Y))
}
