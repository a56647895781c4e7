package settings

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// limitFlags are the limits on the work of one run.
type limitFlags struct {
	queries    int
	Detections int
}

func (f *limitFlags) add(flags *pflag.FlagSet) {
	f.addQueries(flags)
	flags.IntVar(&f.Detections, "max-detections", 1_000_000, "fail a picture with more than `N` detections")
}

func (f *limitFlags) addQueries(flags *pflag.FlagSet) {
	flags.IntVar(&f.queries, "max-queries", 10_000, "refuse more than `N` queries")
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

// PictureFlags say which pictures are read, and how.
type PictureFlags struct {
	megapixels int
	megabytes  int
	Memory     int // MiB
	asStored   bool
}

const (
	// DefaultMemory is enough for hundreds of ordinary photos, and for several of the
	// largest that are accepted. The unit is MiB.
	DefaultMemory = 2048
	// maxPictureFlag is the largest value of these flags. It is beyond any useful value
	// and far below an overflow.
	maxPictureFlag = 1 << 20
)

// Add defines the flags on flags.
func (f *PictureFlags) Add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.asStored, "ignore-exif", false, "take pictures as they are stored, not upright by the orientation that their EXIF or XMP states")
	flags.IntVar(&f.megapixels, "max-megapixels", 100, "refuse pictures of more than `N` million pixels")
	flags.IntVar(&f.megabytes, "max-megabytes", 512, "refuse files of pictures of more than `N` times 2^20 bytes")
	flags.IntVar(&f.Memory, "memory", DefaultMemory, "keep at most `N` MiB of decoded pictures waiting; the models' memory comes on top")
}

// Check returns an error if a value is out of range.
func (f *PictureFlags) Check() error {
	for _, flag := range []struct {
		name  string
		value int
	}{{"max-megapixels", f.megapixels}, {"max-megabytes", f.megabytes}, {"memory", f.Memory}} {
		if flag.value < 1 || flag.value > maxPictureFlag {
			return fmt.Errorf("--%s %d: want 1 to %d", flag.name, flag.value, maxPictureFlag)
		}
	}
	return nil
}

// Limits returns how to decode a picture.
func (f *PictureFlags) Limits() pixels.Limits {
	return pixels.Limits{Pixels: int64(f.megapixels) * 1e6, Bytes: int64(f.megabytes) << 20, AsStored: f.asStored}
}
