package shard

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"iter"
	"runtime"
	"strings"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/store"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// mostPictureBytes is what package pixels reads of a file at most.
const mostPictureBytes = 512 << 20

// pictures returns a sequence of the pictures of paths, or their errors, in order. While
// one is taken, a few further ones are decoded. The sequence ends early if ctx is done.
func pictures(ctx context.Context, paths []string) iter.Seq2[image.Image, error] {
	return pixels.DecodeAhead(ctx, paths, min(4, runtime.GOMAXPROCS(0)), read)
}

func read(ctx context.Context, path string) (*pixels.RGB, error) {
	if !remote(path) {
		return pixels.DecodeFile(path, pixels.Limits{})
	}
	data, err := store.Read(ctx, path, mostPictureBytes)
	if err != nil {
		return nil, err
	}
	picture, err := pixels.Decode(bytes.NewReader(data), pixels.Limits{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return picture, nil
}

// remote reports whether a picture's path is a URL.
func remote(path string) bool { return strings.Contains(path, "://") }
