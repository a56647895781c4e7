package intake

import (
	"context"
	"image"
	"iter"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the memory of decoded pictures, from when they wait for detection until they are drawn. Each takes its part
// in the order of the inputs, and gives it back when it is done with.
type Budget struct {
	free *semaphore.Weighted
	most int64 // that one picture may take
}

// NewBudget is for so many MiB. At least together+1 pictures fit, however large they are, since detection waits for that
// many.
func NewBudget(mebibytes, together int) *Budget {
	size := int64(mebibytes) << 20
	return &Budget{semaphore.NewWeighted(size), max(1, size/int64(together+1))}
}

// Keep passes up to n images on, each when there is room for it. kept gives each of them
// again, in their order, to whoever has its result and then gives back its room.
func (b *Budget) Keep(ctx context.Context, images iter.Seq2[image.Image, error], n int) (passed iter.Seq2[image.Image, error], kept <-chan image.Image) {
	decoded := make(chan image.Image, n) // never blocks
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

// Acquire waits until there is room for a picture; nil takes none. It fails when ctx ends.
func (b *Budget) Acquire(ctx context.Context, picture image.Image) error {
	return b.free.Acquire(ctx, b.size(picture))
}

// Release gives back what Acquire took for the picture.
func (b *Budget) Release(picture image.Image) { b.free.Release(b.size(picture)) }

// size is what a picture takes: as decoded and, while it is drawn or detected, once more.
func (b *Budget) size(picture image.Image) int64 {
	if picture == nil {
		return 0
	}
	size := picture.Bounds().Size()
	return min(b.most, 2*3*int64(size.X)*int64(size.Y))
}
