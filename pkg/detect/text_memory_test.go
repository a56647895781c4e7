package detect

import (
	"slices"
	"testing"

	"github.com/clipdet/clipdet/pkg/pixels"
)

func TestTextMemory(t *testing.T) {
	picture, err := pixels.DecodeFile("../../testdata/images/scene-020.jpg", pixels.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	background := []string{"a wall", "grass"}
	cat, dog := Query{Name: "cat", Phrases: []string{"a cat", "a tabby"}}, Query{Name: "dog", Phrases: []string{"a dog", "a cat"}}
	plain := open(t, Options{Background: background, Proposals: 20})
	d := open(t, Options{Background: background, Proposals: 20, TextMemory: 5})
	for _, step := range []struct {
		name    string
		asked   []Query
		encoded int
	}{
		{"nothing is known", []Query{cat}, 4},
		{"all is known", []Query{cat}, 0},
		{"only one phrase is new", []Query{dog}, 1},
		{"all five are known", []Query{cat, dog}, 0},
		{"a sixth phrase", []Query{{Name: "cup"}, cat}, 7}, // the templates
	} {
		encoded, found := encodedFor(t, d, picture, step.asked...)
		if _, want := encodedFor(t, plain, picture, step.asked...); !slices.Equal(found, want) {
			t.Errorf("%s: the detections differ from those without a memory:\n%v\n%v", step.name, found, want)
		}
		if encoded != step.encoded {
			t.Errorf("%s: %d phrases were encoded, want %d", step.name, encoded, step.encoded)
		}
		if n := d.remembered.recent.Len(); n > 5 || n != len(d.remembered.places) {
			t.Errorf("%s: %d phrases are kept, and %d can be found; want 5 at most", step.name, n, len(d.remembered.places))
		}
	}
}
