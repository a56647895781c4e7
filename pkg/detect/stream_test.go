package detect

import (
	"context"
	"errors"
	"image"
	"iter"
	"runtime"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/torchtest"
)

// stream returns a stream of pictures that yields err in the place of each nil.
func stream(first image.Image, err error, rest ...image.Image) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		for _, img := range append([]image.Image{first}, rest...) {
			if img == nil {
				if !yield(nil, err) {
					return
				}
			} else if !yield(img, nil) {
				return
			}
		}
	}
}

func TestDetectAllKeepsOrderAndGoesOnAfterErrors(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	broken := errors.New("broken file")
	images := stream(scene(1, 40, 30), broken, nil, scene(2, 50, 30), image.NewRGBA(image.Rectangle{}), scene(3, 60, 30))
	var widths []int
	for result, err := range d.DetectAll(t.Context(), images, q, Params{TopK: 1}) {
		switch {
		case errors.Is(err, broken):
			widths = append(widths, -1)
		case err != nil:
			widths = append(widths, -2)
		default:
			widths = append(widths, result.Width)
		}
	}
	want := []int{40, -1, 50, -2, 60}
	if len(widths) != len(want) {
		t.Fatalf("got %v, want %v", widths, want)
	}
	for i := range want {
		if widths[i] != want[i] {
			t.Fatalf("got %v, want %v (-1: the stream's error, -2: another)", widths, want)
		}
	}
}

func TestDetectAllStopsEarly(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	goroutines := runtime.NumGoroutine()
	taken, ended := 0, false
	endless := func(yield func(image.Image, error) bool) {
		for yield(scene(uint64(taken), 40, 30), nil) {
			taken++
		}
		ended = true
	}
	seen := 0
	for _, err := range d.DetectAll(t.Context(), endless, q, Params{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 3 {
			break
		}
	}
	if !ended {
		t.Error("the stream still runs after the loop")
	}
	if taken > 3+2*lookAhead+3 {
		t.Errorf("%d pictures were taken for 3 results", taken)
	}
	torchtest.NoMoreGoroutines(t, goroutines)
}

func TestDetectAllEndsWithItsContext(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	endless := func(yield func(image.Image, error) bool) {
		for yield(scene(1, 40, 30), nil) {
		}
	}
	var last error
	results := 0
	for _, err := range d.DetectAll(ctx, endless, q, Params{}) {
		if last != nil {
			t.Fatalf("a yield came after the error %v", last)
		}
		if err != nil {
			last = err
			continue
		}
		if results++; results == 2 {
			cancel(cause)
		}
	}
	if last != cause {
		t.Errorf("the last yield is %v, want the context's cause", last)
	}
}
