package detect

import (
	"errors"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// encodedFor returns how many phrases are encoded for queries, and what they find.
func encodedFor(t *testing.T, d *Detector, picture image.Image, asked ...Query) (encoded int, found []Detection) {
	t.Helper()
	q, err := d.Queries(t.Context(), asked...)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	result, err := d.Detect(t.Context(), picture, q, Params{})
	if err != nil {
		t.Fatal(err)
	}
	return q.encoded, result.Detections
}

// TestTextCache opens a new detector for each step, as a later run does.
func TestTextCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	picture, err := pixels.DecodeFile("../../testdata/images/scene-020.jpg", pixels.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	run := func(cache string, asked ...Query) (encoded int, found []Detection) {
		t.Helper()
		return encodedFor(t, open(t, Options{TextCache: cache, Background: []string{"a wall", "grass"}, Proposals: 20}), picture, asked...)
	}
	cat, dog := Query{Name: "cat", Phrases: []string{"a cat", "a tabby"}}, Query{Name: "dog", Phrases: []string{"a dog", "a cat"}}
	_, want := run("", cat, dog)
	files := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "*", "*.f32"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	damage := func() {
		for _, file := range files() {
			data, err := os.ReadFile(file)
			if err == nil {
				data[5] ^= 1
				err = os.WriteFile(file, data, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	pipes := func() {
		for _, file := range files() {
			if err := errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		name    string
		before  func()
		cache   string
		queries []Query
		encoded int
	}{
		{"first run", nil, dir, []Query{cat}, 4},
		{"second run", nil, dir, []Query{cat}, 0},
		{"another query with a known phrase", nil, dir, []Query{cat, dog}, 1},
		{"both known", nil, dir, []Query{dog, cat}, 0},
		{"no cache", nil, "", []Query{cat, dog}, 5},
		{"damaged files", damage, dir, []Query{cat, dog}, 5},
		{"mended", nil, dir, []Query{cat, dog}, 0},
		{"pipes in the files' places", pipes, dir, []Query{cat, dog}, 5},
		{"mended again", nil, dir, []Query{cat, dog}, 0},
		{"a file in the directory's place", nil, emptyFile(t), []Query{cat, dog}, 5},
	} {
		if step.before != nil {
			step.before()
		}
		encoded, found := run(step.cache, step.queries...)
		if encoded != step.encoded {
			t.Errorf("%s: %d phrases encoded, want %d", step.name, encoded, step.encoded)
		}
		if len(step.queries) == 2 && step.queries[0].Name == "cat" {
			if len(found) != len(want) {
				t.Fatalf("%s: %d detections, without a cache %d", step.name, len(found), len(want))
			}
			for i, d := range found {
				if d.Query != want[i].Query || d.Box != want[i].Box || math.Abs(float64(d.Cosine-want[i].Cosine)) > 1e-6 {
					t.Errorf("%s: detection %d is %+v, without a cache %+v", step.name, i, d, want[i])
				}
			}
		}
	}
	if n := len(files()); n != 3 { // cat, dog, the background
		t.Errorf("%d files in the cache, want 3: %v", n, files())
	}
}

func emptyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTextCachesOfOtherDigits checks that everything that changes the last digits of an
// embedding changes its path.
func TestTextCachesOfOtherDigits(t *testing.T) {
	text := torchtest.Tiny(t).Text.Manifest
	other := text
	other.Digest = strings.Repeat("0", len(text.Digest))
	seen := map[string]string{}
	for name, cache := range map[string]textCache{
		"one thread":    newTextCache("dir", text, torch.CPU, 1, nil),
		"two threads":   newTextCache("dir", text, torch.CPU, 2, nil),
		"another model": newTextCache("dir", other, torch.CPU, 1, nil),
	} {
		if before, twice := seen[cache.dir]; twice {
			t.Errorf("%s shares %s with %s", name, cache.dir, before)
		}
		seen[cache.dir] = name
	}
	if again := newTextCache("dir", text, torch.CPU, 1, nil); seen[again.dir] != "one thread" {
		t.Errorf("the same has another path: %s", again.dir)
	}
}
