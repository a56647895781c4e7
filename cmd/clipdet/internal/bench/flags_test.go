package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestBenchAsksForEightyNames(t *testing.T) {
	if names := strings.Fields(defaultQueries); len(names) != 80 || len(slices.Compact(slices.Sorted(slices.Values(names)))) != 80 {
		t.Errorf("%d names are asked for, want 80 different ones", len(names))
	}
}

// FuzzSizes verifies that accepted values of --batch-sizes and --size are in bounds, and
// are read the same when they are written again.
func FuzzSizes(f *testing.F) {
	for _, seed := range []string{"1,2,4,8,16,32,64", "", ",", "0", "1, 64 ,", "16385", "640x480", "1x10000", "10001x1", "-1x5", "640x", "640x480x3", "0x1F", "1\n2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		flags := Flags{batchSizes: text, size: text}
		if sizes, err := flags.batches(); err == nil {
			if len(sizes) > 0 && (slices.Min(sizes) < 1 || slices.Max(sizes) > 1<<14) {
				t.Errorf("--batch-sizes %q was taken as %d", text, sizes)
			}
			again := Flags{batchSizes: strings.Trim(strings.ReplaceAll(fmt.Sprint(sizes), " ", ","), "[]")}
			if same, err := again.batches(); err != nil || !slices.Equal(same, sizes) {
				t.Errorf("--batch-sizes %q was taken as %d, and %s as %d (%v)", text, sizes, again.batchSizes, same, err)
			}
		}
		if width, height, err := flags.pictureSize(); err == nil {
			if min(width, height) < 1 || max(width, height) > maxPictureSide {
				t.Errorf("--size %q was taken as %d x %d", text, width, height)
			}
			again := Flags{size: fmt.Sprintf("%dx%d", width, height)}
			if w, h, err := again.pictureSize(); err != nil || w != width || h != height {
				t.Errorf("--size %q was taken as %s, and that as %d x %d (%v)", text, again.size, w, h, err)
			}
		}
	})
}
