// Package intake turns arguments into decoded pictures: it expands folders and patterns, decodes
// ahead of detection, and bounds the memory of what waits.
package intake

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/results"
)

// Input is one picture to do, or one argument that gave none and why.
type Input struct {
	Path string
	Err  error
}

// extensions are those of the files that are taken from a directory. A file given by name is tried whatever its name.
var extensions = []string{".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"}

// Expand turns the arguments into pictures: a file is itself, a directory the pictures in it (sorted, not those of its
// own directories), and a pattern, which a shell may have left alone, each of its matches. A file that comes up again
// is taken once. Arguments that give nothing stay as failed inputs, so that they are reported in their place.
func Expand(args []string) []Input {
	var inputs []Input
	seen := map[string]bool{}
	add := func(path string, err error) {
		if key := filepath.Clean(path); !seen[key] {
			seen[key] = true
			inputs = append(inputs, Input{Path: path, Err: err})
		}
	}
	for _, arg := range args {
		matches := []string{arg}
		if _, err := os.Lstat(arg); errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(arg, "*?[") {
			if matches, err = filepath.Glob(arg); err != nil {
				add(arg, fmt.Errorf("bad pattern: %w", err))
				continue
			}
			if len(matches) == 0 {
				add(arg, errors.New("no file matches this pattern"))
				continue
			}
		}
		for _, match := range matches {
			if info, err := os.Stat(match); err == nil && info.IsDir() {
				addDirectory(match, add)
			} else {
				add(match, nil)
			}
		}
	}
	return inputs
}

func addDirectory(dir string, add func(string, error)) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		add(dir, err)
		return
	}
	none := true
	for _, entry := range entries {
		hidden := strings.HasPrefix(entry.Name(), ".")
		if hidden || entry.IsDir() || !slices.Contains(extensions, strings.ToLower(filepath.Ext(entry.Name()))) {
			continue
		}
		add(filepath.Join(dir, entry.Name()), nil)
		none = false
	}
	if none {
		add(dir, fmt.Errorf("the directory holds no picture (%s)", strings.Join(extensions, ", ")))
	}
}

// WantsList says whether the arguments ask for a list of results, even where it comes out with one.
func WantsList(args []string) bool {
	if len(args) != 1 {
		return true
	}
	info, err := os.Stat(args[0])
	if err != nil {
		return strings.ContainsAny(args[0], "*?[")
	}
	return info.IsDir()
}

// Decoders is how many pictures are decoded ahead of the one in hand: enough that detection need not wait.
func Decoders() int { return min(4, runtime.GOMAXPROCS(0)) }

// DecodeAhead decodes the inputs in their order, each yielding its picture or its error, and keeps up to ahead further
// ones decoding meanwhile.
func DecodeAhead(ctx context.Context, inputs []Input, limits pixels.Limits, ahead int) iter.Seq2[image.Image, error] {
	type decoded struct {
		picture image.Image
		err     error
	}
	return func(yield func(image.Image, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		pending := make(chan chan decoded, ahead)
		go func() {
			defer close(pending)
			for _, in := range inputs {
				done := make(chan decoded, 1)
				select {
				case pending <- done:
				case <-ctx.Done():
					return
				}
				go func() {
					picture, err := Decode(in, limits)
					done <- decoded{picture, err}
				}()
			}
		}()
		for done := range pending {
			if d := <-done; !yield(d.picture, d.err) {
				return
			}
		}
	}
}

// Decode returns the upright picture of an input, or the error that the input has.
func Decode(in Input, limits pixels.Limits) (image.Image, error) {
	if in.Err != nil {
		return nil, in.Err
	}
	picture, err := pixels.DecodeFile(in.Path, limits)
	if err != nil { // not a typed nil
		return nil, err
	}
	return picture, nil
}

// Names gives each input a name for its pictures that no other has.
func Names(inputs []Input) []string {
	unique := make([]string, len(inputs))
	var names results.Names
	for i, in := range inputs {
		unique[i] = names.Of(in.Path)
	}
	return unique
}

// cocoName matches COCO's own file names: 000000000139.jpg and COCO_val2014_000000000139.jpg.
var cocoName = regexp.MustCompile(`^(?:COCO_\w+_)?(\d+)\.\w+$`)

// ImageIDs gives each input its COCO image_id: the number in its file name where all names are like COCO's and the
// numbers differ, or else its place, from 1.
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
