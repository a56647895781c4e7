package results

import (
	"slices"
	"testing"
)

func TestNamesDiffer(t *testing.T) {
	var names Names
	var got []string
	for _, path := range []string{"a.png", "d/a.png", "a.jpg", "A.png", "a-2.png", "b.c.png", ".png", "..", "../../x/../y.png", ""} {
		got = append(got, names.Of(path))
	}
	want := []string{"a", "a-2", "a-3", "A-4", "a-2-2", "b.c", ".png", ".", "y", ".-2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
