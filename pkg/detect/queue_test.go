package detect

import (
	"context"
	"errors"
	"image"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// block keeps the engine busy until release is called. release waits for the engine.
func block(t *testing.T, d *Detector) (release func()) {
	t.Helper()
	started, free := make(chan struct{}), make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		if err := d.engine.Do(context.Background(), func(*torch.Scope) error { close(started); <-free; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-started
	return func() { close(free); work.Wait() }
}

// TestManyCallersHaveTheAnswersOfLoneCalls compares, to the bit, the answers of 64
// goroutines with the answers of lone calls, for pictures of many sizes and different
// queries.
func TestManyCallersHaveTheAnswersOfLoneCalls(t *testing.T) {
	d := open(t, Options{Proposals: 20, Background: []string{"a wall"}, Crops: []Crop{{}, {Mode: CropPad, Context: 1.5}}, ImageBatch: 7})
	asked := []*Queries{queries(t, d, "dog"), queries(t, d, "cat", "dog", "a red car"), queries(t, d, "house", "tree")}
	const callers = 64
	images, want := make([]image.Image, callers), make([]*Result, callers)
	ask := func(i int) (*Result, error) {
		return d.Detect(t.Context(), images[i], asked[i%len(asked)], Params{TopK: 1 + i%3})
	}
	for i := range callers {
		images[i] = scene(uint64(i), 40+7*(i%5), 30+11*(i%4))
		var err error
		if want[i], err = ask(i); err != nil {
			t.Fatal(err)
		}
	}
	release := block(t, d) // so that many tasks wait
	var calls sync.WaitGroup
	for i := range callers {
		calls.Go(func() {
			got, err := ask(i)
			if err != nil || !reflect.DeepEqual(got.Proposals, want[i].Proposals) || !reflect.DeepEqual(got.Detections, want[i].Detections) {
				t.Errorf("picture %d: got %+v, %v, alone %+v", i, got, err, want[i])
			}
		})
	}
	for d.Stats().Queue < callers { // if they don't wait, the test times out
		runtime.Gosched()
	}
	release()
	calls.Wait()
}

// TestCallsEndWhileTheEngineWorks checks that a call returns when its context ends, even
// if the engine works for another call, and that the engine doesn't read its picture
// then.
func TestCallsEndWhileTheEngineWorks(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	regions, err := d.Regions(t.Context(), scene(1, 60, 40))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	before := live(t, d)
	release := block(t, d)
	cause := errors.New("enough")
	picture := scene(2, 60, 40).(*pixels.RGB)
	stream := func(yield func(image.Image, error) bool) { yield(picture, nil) }
	var calls sync.WaitGroup
	for name, call := range map[string]func(ctx context.Context) error{
		"Detect":     func(ctx context.Context) error { return second(d.Detect(ctx, picture, q, Params{})) },
		"Regions":    func(ctx context.Context) error { return second(d.Regions(ctx, picture)) },
		"Queries":    func(ctx context.Context) error { return second(d.Queries(ctx, Query{Name: "cat"})) },
		"Match":      func(ctx context.Context) error { return second(regions.Match(ctx, q, Params{})) },
		"Embeddings": func(ctx context.Context) error { return second(regions.Embeddings(ctx)) },
		"DetectAll": func(ctx context.Context) (err error) {
			for _, err = range d.DetectAll(ctx, stream, q, Params{}) {
			}
			return err
		},
	} {
		calls.Go(func() {
			ctx, cancel := context.WithCancelCause(t.Context())
			done := make(chan error, 1)
			go func() { done <- call(ctx) }()
			cancel(cause)
			// If the call waits, the test times out.
			if err := <-done; !errors.Is(err, cause) {
				t.Errorf("%s: got %v, want the context's cause", name, err)
			}
		})
	}
	calls.Wait()
	clear(picture.Pix) // a race, if the engine still reads it
	release()
	if n := live(t, d) - before; n != 0 {
		t.Errorf("%d tensors are left", n)
	}
	if n := d.Stats().Queue; n != 0 {
		t.Errorf("%d calls wait, want none", n)
	}
}

// TestLeavingABatch checks that a caller that leaves in the middle of a batch doesn't
// disturb the others.
func TestLeavingABatch(t *testing.T) {
	d := open(t, Options{Proposals: 20, ImageBatch: 4})
	q := queries(t, d, "dog")
	want, err := d.Detect(t.Context(), scene(1, 60, 40), q, Params{})
	if err != nil {
		t.Fatal(err)
	}
	before := live(t, d)
	// The batch asks fewer than 60 times whether the second caller has left.
	for n := range 60 {
		release := block(t, d)
		var calls sync.WaitGroup
		for i := range 3 {
			var ctx context.Context = t.Context()
			if i == 1 {
				ctx = endAfter(int64(n))
			}
			calls.Go(func() {
				got, err := d.Detect(ctx, scene(1, 60, 40), q, Params{})
				switch {
				case err == nil && !reflect.DeepEqual(got.Detections, want.Detections):
					t.Errorf("after %d: other detections", n)
				case err != nil && (i != 1 || !errors.Is(err, context.Canceled)):
					t.Errorf("after %d, caller %d: %v", n, i, err)
				}
			})
		}
		release()
		calls.Wait()
	}
	if n := live(t, d) - before; n != 0 {
		t.Errorf("%d tensors are left", n)
	}
}

func TestQueueKeepsOrder(t *testing.T) {
	q := newQueue()
	names := map[*task]string{}
	add := func(name string) *task {
		task := newTask(t.Context(), nil)
		names[task] = name
		q.add(task)
		return task
	}
	take := func(most int) (taken string) {
		for _, task := range q.take(most) {
			taken += names[task]
		}
		return taken
	}
	add("a")
	b := add("b")
	add("c")
	add("d")
	q.remove(b)
	q.remove(b)
	if got := take(2); got != "ac" {
		t.Errorf("the first two are %q, want ac", got)
	}
	e := add("e")
	if got := take(9); got != "de" {
		t.Errorf("the rest is %q, want de", got)
	}
	q.remove(e)
	f := add("f")
	q.close()
	g := add("g")
	for _, closed := range []*task{f, g} {
		if o := closed.wait(q); !errors.Is(o.err, ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", names[closed], o.err)
		}
	}
	if got := q.take(9); q.wait() || len(got) != 0 || q.length() != 0 {
		t.Errorf("a closed queue has %d tasks and %d more", len(got), q.length())
	}
}

// TestEmbeddingsAreTheScores checks that the public embeddings give the cosines of the
// detections.
func TestEmbeddingsAreTheScores(t *testing.T) {
	d := open(t, Options{Proposals: 20})
	q := queries(t, d, "dog", "cat")
	regions, err := d.Regions(t.Context(), scene(3, 90, 70))
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	boxes, err := regions.Embeddings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	classes, err := q.Embeddings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	proposals := regions.Proposals()
	if len(boxes) != len(proposals) || len(classes) != 2 {
		t.Fatalf("%d embeddings of %d boxes and %d of 2 queries", len(boxes), len(proposals), len(classes))
	}
	result, err := regions.Match(t.Context(), q, Params{NMS: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range result.Detections {
		place := 0
		if found.Query == "cat" {
			place = 1
		}
		near := false // several proposals may have the same box
		for k, p := range proposals {
			if p.Box == found.Box {
				var cosine float32
				for i, v := range boxes[k] {
					cosine += v * classes[place][i]
				}
				near = near || cosine-found.Cosine < 1e-5 && found.Cosine-cosine < 1e-5
			}
		}
		if !near {
			t.Errorf("%+v: no embedding has its cosine", found)
		}
	}
	regions.Close()
	q.Close()
	if _, err := regions.Embeddings(t.Context()); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the regions") {
		t.Errorf("closed regions: got %v, want ErrClosed of the regions", err)
	}
	if _, err := q.Embeddings(t.Context()); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "the queries") {
		t.Errorf("closed queries: got %v, want ErrClosed of the queries", err)
	}
}

// TestProposalsOfTheCallerInAStream checks pictures with and without the caller's own
// boxes in one stream.
func TestProposalsOfTheCallerInAStream(t *testing.T) {
	d := open(t, Options{Proposals: 20})
	q := queries(t, d, "dog")
	img := scene(3, 90, 70)
	plain, err := d.Detect(t.Context(), img, q, Params{})
	if err != nil {
		t.Fatal(err)
	}
	again := WithProposals{img, plain.Proposals}
	few := WithProposals{img, []Proposal{{plain.Proposals[2].Box, 0.25}}}
	i := 0
	for got, err := range d.DetectAll(t.Context(), stream(img, nil, again, few, WithProposals{Image: img}), q, Params{}) {
		if err != nil {
			t.Fatal(err)
		}
		switch i {
		case 0, 1:
			if !reflect.DeepEqual(got.Detections, plain.Detections) || !reflect.DeepEqual(got.Proposals, plain.Proposals) {
				t.Errorf("picture %d: got %+v, want %+v", i, got, plain)
			}
		case 2:
			if len(got.Detections) != 1 || got.Detections[0].Box != few.Proposals[0].Box || got.Detections[0].Objectness != 0.25 {
				t.Errorf("one box: got %+v", got.Detections)
			}
		case 3:
			if len(got.Detections) != 0 || len(got.Proposals) != 0 {
				t.Errorf("no box: got %+v", got)
			}
		}
		i++
	}
	if _, err := d.Detect(t.Context(), WithProposals{img, []Proposal{{plain.Proposals[0].Box, 1.5}}}, q, Params{}); !errors.Is(err, ErrOption) {
		t.Errorf("an objectness of 1.5: got %v, want ErrOption", err)
	}
}

// BenchmarkCallers compares 64 goroutines, each of which detects in a picture, with one
// stream of the same pictures.
func BenchmarkCallers(b *testing.B) {
	d := open(b, Options{Proposals: 20})
	q := queries(b, d, "dog", "cat")
	random := rand.New(rand.NewPCG(1, 1))
	images := make([]image.Image, 64)
	for i := range images {
		images[i] = scene(uint64(i), 100+random.IntN(100), 100+random.IntN(100))
	}
	for _, way := range []string{"stream", "callers"} {
		b.Run(way, func(b *testing.B) {
			for b.Loop() {
				if way == "stream" {
					for _, err := range d.DetectAll(b.Context(), stream(images[0], nil, images[1:]...), q, Params{}) {
						if err != nil {
							b.Fatal(err)
						}
					}
					continue
				}
				var callers sync.WaitGroup
				for _, img := range images {
					callers.Go(func() {
						if _, err := d.Detect(b.Context(), img, q, Params{}); err != nil {
							b.Error(err)
						}
					})
				}
				callers.Wait()
			}
			b.ReportMetric(float64(b.N*len(images))/b.Elapsed().Seconds(), "pictures/s")
		})
	}
}

// BenchmarkEndedContext measures how long after the end of its context a call returns,
// while the engine works for other callers.
func BenchmarkEndedContext(b *testing.B) {
	d := open(b, Options{Models: builtin.Models(), Proposals: 100})
	q := queries(b, d, "dog", "cat")
	busy, stop := context.WithCancel(b.Context())
	defer stop()
	var others sync.WaitGroup
	for i := range 4 {
		others.Go(func() {
			for busy.Err() == nil {
				_, _ = d.Detect(busy, scene(uint64(i), 200, 150), q, Params{})
			}
		})
	}
	var worst, total time.Duration
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		returned := make(chan time.Time, 1)
		go func() {
			_, _ = d.Detect(ctx, scene(9, 200, 150), q, Params{})
			returned <- time.Now()
		}()
		time.Sleep(10 * time.Millisecond)
		ended := time.Now()
		cancel()
		took := (<-returned).Sub(ended)
		worst, total = max(worst, took), total+took
	}
	stop()
	others.Wait()
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
	b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "mean-ms")
}
