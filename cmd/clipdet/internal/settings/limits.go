package settings

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// limitFlags bound what one run takes on.
type limitFlags struct {
	queries    int
	Detections int
}

func (f *limitFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.queries, "max-queries", 10_000, "refuse more than `N` queries")
	flags.IntVar(&f.Detections, "max-detections", 1_000_000, "fail a picture with more than `N` detections")
}

func (f *limitFlags) check() error {
	switch {
	case f.queries < 1:
		return fmt.Errorf("--max-queries %d: want 1 or more", f.queries)
	case f.Detections < 1:
		return fmt.Errorf("--max-detections %d: want 1 or more", f.Detections)
	}
	return nil
}

func (f *limitFlags) text() detect.Limits { return detect.Limits{Queries: f.queries} }

// PictureFlags bound the pictures that are read.
type PictureFlags struct {
	megapixels int
	megabytes  int
	Memory     int // MiB
}

const (
	// DefaultMemory has room for hundreds of usual photos, and for some of the largest that are taken.
	DefaultMemory = 2048
	// mostPictures is more than any of the flags can mean, and far from an overflow.
	mostPictures = 1 << 20
)

// Add defines the flags.
func (f *PictureFlags) Add(flags *pflag.FlagSet) {
	flags.IntVar(&f.megapixels, "max-megapixels", 100, "refuse pictures of more than `N` million pixels")
	flags.IntVar(&f.megabytes, "max-megabytes", 512, "refuse files of pictures of more than `N` times 2^20 bytes")
	flags.IntVar(&f.Memory, "memory", DefaultMemory, "keep at most `N` MiB of decoded pictures waiting; the models' memory comes on top")
}

// Check returns what is wrong with the values.
func (f *PictureFlags) Check() error {
	for _, flag := range []struct {
		name  string
		value int
	}{{"max-megapixels", f.megapixels}, {"max-megabytes", f.megabytes}, {"memory", f.Memory}} {
		if flag.value < 1 || flag.value > mostPictures {
			return fmt.Errorf("--%s %d: want 1 to %d", flag.name, flag.value, mostPictures)
		}
	}
	return nil
}

// Limits returns the limits of decoding a picture.
func (f *PictureFlags) Limits() pixels.Limits {
	return pixels.Limits{Pixels: int64(f.megapixels) * 1e6, Bytes: int64(f.megabytes) << 20}
}
