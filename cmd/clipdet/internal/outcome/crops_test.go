package outcome

import (
	"slices"
	"strings"
	"testing"
)

func TestFoldersOfCrops(t *testing.T) {
	labels := []string{"traffic light", "Traffic Light", "a/../b", "..", ".hidden", "犬", "-rf", "é\xff", strings.Repeat("x", 300), "CON: x"}
	want := []string{"traffic light", "Traffic Light-2", "a____b", "__", "_hidden", "犬", "rf", "é_", strings.Repeat("x", 100), "CON_ x"}
	if got := NewCrops("", labels, false).folder; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
