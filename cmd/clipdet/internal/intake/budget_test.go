package intake

import (
	"context"
	"image"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetBoundsWhatWaits(t *testing.T) {
	// large takes 96 MiB, small 59 KiB.
	large, small := image.NewRGBA(image.Rect(0, 0, 4096, 4096)), image.NewRGBA(image.Rect(0, 0, 100, 100))
	for _, test := range []struct {
		name                string
		mebibytes, together int
		pictures            []image.Image
		fit                 int // pictures before one must wait
	}{
		{"two of 96 in 200", 200, 1, []image.Image{large, large, large}, 2},
		{"as many as go together, however large", 1, 4, []image.Image{large, large, large, large, large, large}, 5},
		{"a small one beside a large one", 97, 1, []image.Image{small, large, large}, 2},
		{"none takes no room", 97, 1, []image.Image{large, nil, nil, large, small}, 4},
	} {
		synctest.Test(t, func(t *testing.T) { // time stops until all wait
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			budget := NewBudget(test.mebibytes, test.together)
			fit := 0
			for _, picture := range test.pictures {
				if budget.Acquire(ctx, picture) != nil {
					break
				}
				fit++
			}
			if fit != test.fit {
				t.Fatalf("%s: %d fit, want %d", test.name, fit, test.fit)
			}
			budget.Release(test.pictures[0])
			if err := budget.Acquire(t.Context(), test.pictures[0]); err != nil {
				t.Errorf("%s: there is no room where one was given back: %v", test.name, err)
			}
		})
	}
}
