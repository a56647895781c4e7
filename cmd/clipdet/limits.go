package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// limitFlags bound what one run takes on.
type limitFlags struct {
	queries    int
	detections int
}

func (f *limitFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.queries, "max-queries", 10_000, "refuse more than `N` queries")
	flags.IntVar(&f.detections, "max-detections", 1_000_000, "fail a picture with more than `N` detections")
}

func (f *limitFlags) check() error {
	switch {
	case f.queries < 1:
		return fmt.Errorf("--max-queries %d: want 1 or more", f.queries)
	case f.detections < 1:
		return fmt.Errorf("--max-detections %d: want 1 or more", f.detections)
	}
	return nil
}

func (f *limitFlags) text() detect.Limits { return detect.Limits{Queries: f.queries} }

// pictureFlags bound the pictures that are read.
type pictureFlags struct {
	megapixels int
	megabytes  int
	memory     int // MiB
}

const (
	// defaultMemory has room for hundreds of usual photos, and for some of the largest that are taken.
	defaultMemory = 2048
	// mostPictures is more than any of the flags can mean, and far from an overflow.
	mostPictures = 1 << 20
)

func (f *pictureFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.megapixels, "max-megapixels", 100, "refuse pictures of more than `N` million pixels")
	flags.IntVar(&f.megabytes, "max-megabytes", 512, "refuse files of pictures of more than `N` times 2^20 bytes")
	flags.IntVar(&f.memory, "memory", defaultMemory, "keep at most `N` MiB of decoded pictures waiting; the models' memory comes on top")
}

func (f *pictureFlags) check() error {
	for _, flag := range []struct {
		name  string
		value int
	}{{"max-megapixels", f.megapixels}, {"max-megabytes", f.megabytes}, {"memory", f.memory}} {
		if flag.value < 1 || flag.value > mostPictures {
			return fmt.Errorf("--%s %d: want 1 to %d", flag.name, flag.value, mostPictures)
		}
	}
	return nil
}

func (f *pictureFlags) limits() pixels.Limits {
	return pixels.Limits{Pixels: int64(f.megapixels) * 1e6, Bytes: int64(f.megabytes) << 20}
}
