package detect

import (
	"image"
	"math"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// A GPU is given little to wait for: counted on the CPU, which does its work in the way
// of a GPU.
func TestAPictureInAStreamTakesFewCopies(t *testing.T) {
	d := openAsGPU(t, Options{Proposals: 20, Batch: 1000, ImageBatch: 1})
	queries := queriesLike(t, d)
	const pictures = 6
	before := d.engine.Work()
	images := func(yield func(image.Image, error) bool) {
		for i := range pictures {
			if !yield(scene(uint64(i), 90+i, 70), nil) {
				return
			}
		}
	}
	plain := open(t, Options{Proposals: 20})
	same := queriesLike(t, plain)
	n := 0
	for result, err := range d.DetectAll(t.Context(), images, queries, Params{}) {
		if err != nil || len(result.Detections) == 0 {
			t.Fatalf("got %v (%v), want detections", result, err)
		}
		want, err := plain.Detect(t.Context(), scene(uint64(n), 90+n, 70), same, Params{})
		if err != nil {
			t.Fatal(err)
		}
		if len(result.Detections) != len(want.Detections) {
			t.Errorf("picture %d: %d detections, and %d in the CPU's way", n, len(result.Detections), len(want.Detections))
		}
		for i, d := range result.Detections[:min(len(result.Detections), len(want.Detections))] {
			if w := want.Detections[i]; math.Abs(float64(d.Score-w.Score)) > 1e-3 || d.Query == w.Query && d.Box == w.Box && d.Phrase != w.Phrase {
				t.Errorf("picture %d: detection %d is %+v, and %+v in the CPU's way", n, i, d, w)
			}
		}
		n++
	}
	took := d.engine.Work().Sub(before)
	t.Logf("%d pictures: %+v", n, took)
	if n != pictures || took.Uploads > 2*pictures || took.Downloads > 2*pictures {
		t.Errorf("%d pictures took %+v, want at most 2 uploads and 2 downloads each", n, took)
	}
}

// TestTheNextPictureIsIssuedBeforeTheLastIsRead stops the engine where it delivers the
// first of two pictures. By then a GPU has the crops of the second.
func TestTheNextPictureIsIssuedBeforeTheLastIsRead(t *testing.T) {
	d := openAsGPU(t, Options{Proposals: 20, Batch: 20, ImageBatch: 2})
	m, err := d.matching(queriesLike(t, d), Params{})
	if err != nil {
		t.Fatal(err)
	}
	tasks := make([]*task, 2)
	for i := range tasks {
		if tasks[i], err = d.prepare(t.Context(), scene(uint64(i), 90, 70)); err != nil {
			t.Fatal(err)
		}
		tasks[i].matching, tasks[i].outcome = &m, make(chan outcome) // unbuffered, so the engine waits for its receiver
	}
	before := d.engine.Work()
	done := make(chan error, 1)
	go func() {
		done <- d.engine.Do(t.Context(), func(s *torch.Scope) error { return d.process(s, tasks) })
	}()
	var after [2]torch.Work
	for i, each := range tasks {
		for last := before; ; { // until the engine rests
			time.Sleep(100 * time.Millisecond)
			if after[i] = d.engine.Work(); after[i] == last && after[i] != before {
				break
			}
			last = after[i]
		}
		(<-each.outcome).regions.Close()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	first, second := after[0].Sub(before), after[1].Sub(after[0])
	t.Logf("up to the first: %+v; up to the second: %+v", first, second)
	if second.Operations > first.Operations/4 || second.Uploads > 0 {
		t.Errorf("up to the first picture %+v, and up to the second %+v: want nothing but its scores", first, second)
	}
}

// openAsGPU opens the tiny models on a CPU that works in the way of a GPU.
func openAsGPU(t *testing.T, options Options) *Detector {
	t.Helper()
	options.Models, options.Threads = tiny(), 1
	device, options, err := options.complete()
	if err != nil || device != torch.CPU {
		t.Fatal(device, err)
	}
	d, err := openOn(t.Context(), options, torch.CPUAsGPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func queriesLike(t *testing.T, d *Detector) *Queries {
	t.Helper()
	q, err := d.Queries(t.Context(), Query{Name: "dog"}, Query{Name: "cat", Phrases: []string{"a cat", "a kitten"}, Negatives: []string{"a dog"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}
