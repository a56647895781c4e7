package detect

import (
	"image"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
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
	n := 0
	for result, err := range d.DetectAll(t.Context(), images, queries, Params{}) {
		if err != nil || len(result.Detections) == 0 {
			t.Fatalf("got %v (%v), want detections", result, err)
		}
		n++
	}
	took := d.engine.Work().Sub(before)
	t.Logf("%d pictures: %+v", n, took)
	if n != pictures || took.Uploads != pictures || took.Downloads != pictures {
		t.Errorf("%d pictures took %+v, want an upload and a download each", n, took)
	}
}

// TestTheWayOfAGPUFindsTheSame compares with the CPU's way, where boxes are read before
// their crops are cut.
func TestTheWayOfAGPUFindsTheSame(t *testing.T) {
	given := WithProposals{Image: scene(1, 90, 70), Proposals: []Proposal{
		{Box: box.Box{X0: 3, Y0: 4, X1: 50, Y1: 40}, Objectness: 0.5}, {Box: box.Box{X0: -20, Y0: 30, X1: 30, Y1: 300}, Objectness: 0.75},
	}}
	for name, test := range map[string]struct {
		options Options
		params  Params
		images  []image.Image
		fewer   bool // of the pictures has fewer proposals than rows
	}{
		"pictures of some sizes": {images: []image.Image{scene(1, 90, 70), scene(2, 70, 90), scene(3, 90, 70)}, options: Options{Proposals: 20}},
		// Without NMS, which chooses among the equal crops of a few pixels by their last digits.
		"fewer boxes than rows": {params: Params{NMS: 1}, images: []image.Image{scene(1, 9, 8), scene(2, 90, 70)}, fewer: true},
		"the caller's boxes":    {images: []image.Image{given, WithProposals{Image: scene(2, 40, 40)}, scene(3, 90, 70)}},
		"two views":             {options: Options{Proposals: 20, Crops: []Crop{{CropPad, 1.5}, {CropSquash, 0}}}, images: []image.Image{scene(1, 90, 70), given}},
		"small batches":         {options: Options{Proposals: 20, Batch: 7, ImageBatch: 3}, images: []image.Image{scene(1, 90, 70), scene(2, 90, 70), given}},
		"top-k alone":           {params: Params{TopK: 2, NMS: 1, Rank: RankMean}, images: []image.Image{scene(1, 9, 8), scene(2, 90, 70)}, fewer: true},
	} {
		t.Run(name, func(t *testing.T) {
			gpu, cpu := openAsGPU(t, test.options), open(t, test.options)
			onGPU, onCPU := queriesLike(t, gpu), queriesLike(t, cpu)
			fewer := false
			for i, img := range test.images {
				want, err := cpu.Detect(t.Context(), img, onCPU, test.params)
				if err != nil {
					t.Fatal(err)
				}
				got, err := gpu.Detect(t.Context(), img, onGPU, test.params)
				if err != nil {
					t.Fatal(err)
				}
				alike(t, "Detect", i, got, want)
				fewer = fewer || len(got.Proposals) < cpu.files.RPN.Manifest.Proposals && len(got.Proposals) > 0
				regions, err := gpu.Regions(t.Context(), img)
				if err != nil {
					t.Fatal(err)
				}
				if got, err = regions.Match(t.Context(), onGPU, test.params); err != nil {
					t.Fatal(err)
				}
				alike(t, "Regions", i, got, want)
				regions.Close()
			}
			stream := func(yield func(image.Image, error) bool) {
				for _, img := range test.images {
					if !yield(img, nil) {
						return
					}
				}
			}
			i := 0
			for got, err := range gpu.DetectAll(t.Context(), stream, onGPU, test.params) {
				if err != nil {
					t.Fatal(err)
				}
				want, err := cpu.Detect(t.Context(), test.images[i], onCPU, test.params)
				if err != nil {
					t.Fatal(err)
				}
				alike(t, "DetectAll", i, got, want)
				i++
			}
			if test.fewer && !fewer {
				t.Error("each picture has as many proposals as rows: the test shows nothing")
			}
		})
	}
}

// alike compares results. Sums in another order move scores a little, and with them
// detections whose scores are nearly equal.
func alike(t *testing.T, how string, picture int, got, want *Result) {
	t.Helper()
	if !slices.Equal(got.Proposals, want.Proposals) {
		t.Errorf("%s, picture %d: the proposals are %v, and %v in the CPU's way", how, picture, got.Proposals, want.Proposals)
	}
	if len(got.Detections) != len(want.Detections) {
		t.Fatalf("%s, picture %d: %d detections, and %d in the CPU's way", how, picture, len(got.Detections), len(want.Detections))
	}
	for i, d := range got.Detections {
		if w := want.Detections[i]; math.Abs(float64(d.Score-w.Score)) > 1e-3 || d.Query == w.Query && d.Box == w.Box && d.Phrase != w.Phrase {
			t.Errorf("%s, picture %d: detection %d is %+v, and %+v in the CPU's way", how, picture, i, d, w)
		}
	}
	for i, p := range got.Presence {
		if w := want.Presence[i]; p.Query != w.Query || p.Present != w.Present || math.Abs(float64(p.Score-w.Score)) > 1e-3 {
			t.Errorf("%s, picture %d: the presence is %+v, and %+v in the CPU's way", how, picture, p, w)
		}
	}
}

// TestTheNextPictureIsIssuedBeforeTheLastIsRead stops the engine where it delivers the
// first of two pictures. By then a GPU has all work of the second, be they processed
// together or one after the other.
func TestTheNextPictureIsIssuedBeforeTheLastIsRead(t *testing.T) {
	for _, together := range []int{1, 2} {
		d := openAsGPU(t, Options{Proposals: 20, Batch: 20, ImageBatch: together})
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
		d.queue.mu.Lock() // so that both wait when the engine looks
		d.queue.tasks = append(d.queue.tasks, tasks...)
		d.queue.arrived.Signal()
		d.queue.mu.Unlock()
		var after [2]torch.Work
		for i, each := range tasks {
			// Until the engine has read this picture, and waits for the receiver with the
			// lock held.
			for read := int64(i + 1); d.engine.Work().Sub(before).Downloads < read || !delivering(each); {
				time.Sleep(time.Millisecond)
			}
			after[i] = d.engine.Work()
			(<-each.outcome).regions.Close()
		}
		first, second := after[0].Sub(before), after[1].Sub(after[0])
		t.Logf("%d together: up to the first %+v, and up to the second %+v", together, first, second)
		if second.Operations > first.Operations/4 || second.Uploads > 0 {
			t.Errorf("%d together: up to the first picture %+v, and up to the second %+v: want nothing but its scores", together, first, second)
		}
	}
}

// delivering reports whether the engine holds the task's lock.
func delivering(t *task) bool {
	free := t.mu.TryLock()
	if free {
		t.mu.Unlock()
	}
	return !free
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
