package results

import (
	"slices"
	"strconv"
	"testing"
)

func TestNamesDiffer(t *testing.T) {
	var names Names
	var got []string
	for _, path := range []string{"a.png", "d/a.png", "a.jpg", "A.png", "a-2.png", "b.c.png", ".png", "..", "../../x/../y.png", "", "c.gif#frame=3", "d/c.webp#frame=3", "v.mp4#ms=1500", "#frame=1"} {
		got = append(got, names.Of(path))
	}
	want := []string{"a", "a-2", "a-3", "A-4", "a-2-2", "b.c", ".png", ".", "y", ".-2", "c-frame3", "c-frame3-2", "v-ms1500", "#frame=1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNamesOfThousandsThatAreTheSame is the case of films whose frames are each in a
// folder. It would exceed the time limit if Names tried each number from 2.
func TestNamesOfThousandsThatAreTheSame(t *testing.T) {
	const pictures = 300_000
	var names Names
	var last string
	for i := range pictures {
		last = names.Of(strconv.Itoa(i) + "/frame.jpg")
	}
	if want := "frame-" + strconv.Itoa(pictures); last != want {
		t.Errorf("the last name is %q, want %q", last, want)
	}
}
