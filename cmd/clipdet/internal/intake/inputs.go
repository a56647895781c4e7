// Package intake turns arguments into decoded pictures. It expands directories and
// patterns, decodes pictures ahead of detection, and bounds the memory of the pictures
// that wait.
package intake

import (
	"context"
	"image"
	"iter"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/results"
)

// Input is a picture to process, or an argument that stands for no picture and the
// reason.
type Input struct {
	Path string // as it was given: of a file, a URL, or - for stdin
	Err  error
	// read returns the picture of an input that is no file; nil: the file at Path.
	read func(context.Context, pixels.Limits) (*pixels.RGB, error)
}

// Decoders returns how many pictures to decode ahead of the current one, so that
// detection need not wait for them.
func Decoders() int { return min(4, runtime.GOMAXPROCS(0)) }

// DecodeAhead is pixels.DecodeAhead of inputs.
func DecodeAhead(ctx context.Context, inputs []Input, limits pixels.Limits, ahead int) iter.Seq2[image.Image, error] {
	return pixels.DecodeAhead(ctx, inputs, ahead, func(ctx context.Context, in Input) (*pixels.RGB, error) {
		return decode(ctx, in, limits)
	})
}

// GiveBack returns to the system the memory that work on a picture of the size left
// behind, if the picture is large: 16 million pixels or more. Go would keep it until as
// much is allocated again, but libtorch doesn't allocate there.
func GiveBack(size image.Point) {
	if size.X*size.Y >= 16e6 {
		debug.FreeOSMemory()
	}
}

// Decode returns the picture of an input, upright unless the limits say otherwise,
// or in.Err if that isn't nil.
func Decode(ctx context.Context, in Input, limits pixels.Limits) (image.Image, error) {
	picture, err := decode(ctx, in, limits)
	if err != nil { // return no typed nil
		return nil, err
	}
	return picture, nil
}

func decode(ctx context.Context, in Input, limits pixels.Limits) (*pixels.RGB, error) {
	if in.Err != nil {
		return nil, in.Err
	}
	read := in.read
	if read == nil {
		read = func(_ context.Context, limits pixels.Limits) (*pixels.RGB, error) {
			return pixels.DecodeFile(in.Path, limits)
		}
	}
	picture, err := read(ctx, limits)
	if err != nil {
		return nil, err
	}
	GiveBack(picture.Bounds().Size())
	return picture, nil
}

// Hint returns why a picture may not look as expected, or "".
func Hint(picture image.Image) string {
	if m, ok := picture.(*pixels.RGB); ok {
		return m.Hint
	}
	return ""
}

// Names returns a name for the drawn pictures and labels of each input. Names are
// distinct, ignoring case.
func Names(inputs []Input) []string {
	unique := make([]string, len(inputs))
	var names results.Names
	for i, in := range inputs {
		unique[i] = names.Of(in.Path)
	}
	return unique
}

// cocoName matches COCO's file names, such as 000000000139.jpg and
// COCO_val2014_000000000139.jpg.
var cocoName = regexp.MustCompile(`^(?:COCO_\w+_)?(\d+)\.\w+$`)

// ImageIDs returns the COCO image_id of each input. It is the number in the file name if
// all names are like COCO's and the numbers differ; otherwise it is the input's place,
// from 1.
func ImageIDs(inputs []Input) []int64 {
	ids := make([]int64, len(inputs))
	seen := map[int64]bool{}
	for i, in := range inputs {
		match := cocoName.FindStringSubmatch(filepath.Base(in.Path))
		var id int64
		var err error
		if match != nil {
			id, err = strconv.ParseInt(match[1], 10, 64)
		}
		if match == nil || err != nil || seen[id] {
			for j := range ids {
				ids[j] = int64(j) + 1
			}
			return ids
		}
		ids[i], seen[id] = id, true
	}
	return ids
}
