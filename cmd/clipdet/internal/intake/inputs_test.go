package intake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/clipdet/clipdet/pkg/pixels"
)

// files creates a new current directory with empty files.
func files(t *testing.T, names ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	all := fstest.MapFS{}
	for _, name := range names {
		all[name] = new(fstest.MapFile)
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			delete(all, name)
			all[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
		}
	}
	if err := os.CopyFS(".", all); err != nil {
		t.Fatal(err)
	}
}

func TestExpand(t *testing.T) {
	files(t, "b.png", "a.JPG", "notes.txt", "[1].png", "d/2.webp", "d/1.gif", "d/.hidden.png", "d/notes.txt", "d/sub.png/x.png", "empty/", "words/notes.txt")
	tests := []struct {
		args string
		want string // paths; a failed one has a !
	}{
		{"b.png", "b.png"},
		{"notes.txt", "notes.txt"}, // a named file is always tried
		{"none.png", "none.png"},
		{"b.png a.JPG", "b.png a.JPG"},
		{"d", "d/1.gif d/2.webp"},
		{"d/", "d/1.gif d/2.webp"},
		{"*.png", "[1].png b.png"},
		{"[1].png", "[1].png"}, // the file precedes the pattern
		{"[ab].*", "a.JPG b.png"},
		{"*", "[1].png a.JPG b.png d/1.gif d/2.webp empty! notes.txt words!"},
		{"b.png ./b.png *.png", "b.png [1].png"},
		{"*.tiff b.png", "*.tiff! b.png"},
		{"[a", "[a!"},
		{"empty words", "empty! words!"},
	}
	for _, test := range tests {
		var got []string
		for _, in := range Expand(strings.Fields(test.args)) {
			mark := ""
			if in.Err != nil {
				mark = "!"
			}
			got = append(got, in.Path+mark)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("expand(%s): got %s, want %s", test.args, strings.Join(got, " "), test.want)
		}
	}
}

func TestSeveral(t *testing.T) {
	files(t, "a.png", "d/b.png")
	for args, want := range map[string]bool{"a.png": false, "none.png": false, "d": true, "*.png": true, "a.png d": true} {
		if got := WantsList(strings.Fields(args)); got != want {
			t.Errorf("several(%s): got %v, want %v", args, got, want)
		}
	}
}

func TestImageIDs(t *testing.T) {
	tests := []struct {
		paths string
		want  []int64
	}{
		{"000000000139.jpg x/42.png", []int64{139, 42}},
		{"COCO_val2014_000000000139.jpg", []int64{139}},
		{"7.jpg a.jpg", []int64{1, 2}},
		{"7.jpg d/7.jpg", []int64{1, 2}},
		{"99999999999999999999.jpg", []int64{1}},
	}
	for _, test := range tests {
		var inputs []Input
		for _, path := range strings.Fields(test.paths) {
			inputs = append(inputs, Input{Path: path})
		}
		if got := ImageIDs(inputs); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.paths, got, test.want)
		}
	}
}

func TestDecodeAheadKeepsOrder(t *testing.T) {
	good := filepath.Join("..", "..", "..", "..", "testdata", "formats", "420.jpg")
	var inputs []Input
	for i := range 20 {
		switch i % 3 {
		case 0:
			inputs = append(inputs, Input{Path: good})
		case 1:
			inputs = append(inputs, Input{Path: fmt.Sprintf("none-%d.png", i)})
		case 2:
			inputs = append(inputs, Input{Path: "x", Err: fmt.Errorf("failed %d", i)})
		}
	}
	next := 0
	for picture, err := range DecodeAhead(context.Background(), inputs, pixels.Limits{}, 3) {
		switch next % 3 {
		case 0:
			if err != nil || picture == nil || picture.Bounds().Empty() {
				t.Errorf("input %d: got %v and %v, want a picture", next, picture, err)
			}
		case 1:
			if picture != nil || err == nil || !strings.Contains(err.Error(), inputs[next].Path) {
				t.Errorf("input %d: got %v and %v, want an error that names %s", next, picture, err, inputs[next].Path)
			}
		case 2:
			if picture != nil || !errors.Is(err, inputs[next].Err) {
				t.Errorf("input %d: got %v and %v, want %v", next, picture, err, inputs[next].Err)
			}
		}
		next++
	}
	if next != len(inputs) {
		t.Errorf("got %d pictures and errors, want %d", next, len(inputs))
	}
}

// TestDecodeAheadStops verifies that no goroutine is left. synctest fails the test if one
// is.
func TestDecodeAheadStops(t *testing.T) {
	inputs := slices.Repeat([]Input{{Path: "x", Err: errors.New("no")}}, 100)
	for name, stop := range map[string]func(cancel func()) bool{
		"by the context":  func(cancel func()) bool { cancel(); return true },
		"by the consumer": func(func()) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				count := 0
				for range DecodeAhead(ctx, inputs, pixels.Limits{}, 2) {
					if count++; count == 10 && !stop(cancel) {
						break
					}
				}
				if count > 14 {
					t.Errorf("%d inputs came where it stopped at 10, want at most the 4 more that were under way", count)
				}
			})
		})
	}
}
