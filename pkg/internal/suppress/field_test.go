package suppress

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
)

// TestFieldFindsEveryOverlap compares Any with a look at all boxes, and checks that it asks
// few of the others.
func TestFieldFindsEveryOverlap(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 1))
	draw := func() box.Box {
		x, y := float32(random.IntN(4000))/2-500, float32(random.IntN(4000))/2-500
		return at(x, y, x+float32(random.IntN(1<<(1+random.IntN(9)))), y+float32(random.IntN(1<<(1+random.IntN(9)))))
	}
	var field Field
	if field.Any(at(0, 0, 9, 9), 0, func(box.Box) bool { return true }) {
		t.Error("a field without boxes has one")
	}
	var boxes []box.Box
	for range 2000 {
		b := draw()
		boxes = append(boxes, b)
		field.Add(b)
	}
	asked, needed := 0, 0
	for range 500 {
		for _, share := range []float64{0, 0.01, 0.5, 0.9} {
			b := draw()
			var seen []box.Box
			if field.Any(b, share, func(c box.Box) bool { seen = append(seen, c); return false }) {
				t.Fatal("Any is true, and its function never was")
			}
			for _, c := range boxes {
				if b.Intersect(c).Area() > share*b.Area() {
					needed++
					if !slices.Contains(seen, c) {
						t.Fatalf("%v overlaps %v by more than %v, and wasn't looked at", c, b, share)
					}
					if !field.Any(b, share, func(d box.Box) bool { return d == c }) {
						t.Fatalf("%v isn't found from %v", c, b)
					}
				}
			}
			asked += len(seen)
		}
	}
	if all := 2000 * len(boxes); needed == 0 || asked > all/20 {
		t.Errorf("%d of %d boxes were looked at, and %d overlap", asked, all, needed)
	}
}
