package main

import (
	"context"
	"image"

	"golang.org/x/sync/semaphore"
)

// room bounds the memory of decoded pictures, from when they wait for detection until they are drawn. Each takes its part
// in the order of the inputs, and gives it back when it is done with.
type room struct {
	free *semaphore.Weighted
	most int64 // that one picture may take
}

// newRoom is for so many MiB. At least together+1 pictures fit, however large they are, since detection waits for that
// many.
func newRoom(mebibytes, together int) *room {
	size := int64(mebibytes) << 20
	return &room{semaphore.NewWeighted(size), max(1, size/int64(together+1))}
}

// room is a room of so many MiB for pictures that the plan's detector takes together: 4
// by default.
func (p plan) room(mebibytes int) *room { return newRoom(mebibytes, max(p.options.Pictures, 4)) }

// take waits until there is room for a picture; nil takes none. It fails when ctx ends.
func (r *room) take(ctx context.Context, picture image.Image) error {
	return r.free.Acquire(ctx, r.of(picture))
}

func (r *room) give(picture image.Image) { r.free.Release(r.of(picture)) }

// of is what a picture takes: as decoded and, while it is drawn or detected, once more.
func (r *room) of(picture image.Image) int64 {
	if picture == nil {
		return 0
	}
	size := picture.Bounds().Size()
	return min(r.most, 2*3*int64(size.X)*int64(size.Y))
}
