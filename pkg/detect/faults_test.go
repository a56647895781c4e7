package detect

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"log/slog"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/clip"
	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// The faults that inputs ask for in testdata/models/faulty (testdata/models/README.md).
const (
	throws = 1 + iota
	noMemory
	littleMemory
	otherType
	otherWidth
	noNumber
)

// faulty returns the tiny archives with faults in them.
func faulty() model.Set { return model.Dir("../../testdata/models/faulty") }

// cornered returns a picture for which the proposal network fails.
func cornered(fault int) image.Image {
	img := scene(9, 120, 90).(*pixels.RGB)
	copy(img.Pix, []uint8{250, 5, uint8(10 * fault)})
	return img
}

// plain returns a picture for whose crops the image tower fails.
func plain(fault int) image.Image {
	img := &pixels.RGB{Pix: make([]uint8, 3*120*90), Width: 120, Height: 90}
	for i := 0; i < len(img.Pix); i += 3 {
		copy(img.Pix[i:], []uint8{255, 0, uint8(10 * fault)})
	}
	return img
}

// wordy returns a query for which the text tower fails. Its words, and the start and end
// of the text, make 8 x (fault + 2) columns of tokens.
func wordy(fault int) Query {
	return Query{Name: "wordy", Phrases: []string{strings.TrimSpace(strings.Repeat("dog ", 8*(fault+2)-2))}}
}

// panicking is an image whose methods panic.
type panicking struct{ image.Rectangle }

func (p panicking) ColorModel() color.Model { return color.RGBAModel }
func (p panicking) Bounds() image.Rectangle { return p.Rectangle }
func (p panicking) At(int, int) color.Color { return []color.Color{}[len(p.String())] }

// fault is a call that must fail.
type fault struct {
	name string
	call func(ctx context.Context) error
	want error
	says string // a part of the error
	kind kind   // its kind in Stats
}

// rig is a detector with faulty models, and the arguments of calls.
type rig struct {
	*Detector
	queries, closed *Queries
	left            *Regions // closed
}

func openRig(ctx context.Context, options Options) (*rig, error) {
	options.Models, options.Threads = faulty(), 1
	options.Proposals, options.Background = 20, []string{"a wall"}
	d, err := Open(ctx, options)
	if err != nil {
		return nil, err
	}
	b := &rig{Detector: d}
	if b.queries, err = d.Queries(ctx, Query{Name: "dog"}, Query{Name: "cat"}); err == nil {
		b.closed, err = d.Queries(ctx, Query{Name: "dog"})
	}
	if err == nil {
		b.left, err = d.Regions(ctx, scene(1, 60, 40))
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	b.closed.Close()
	b.left.Close()
	return b, nil
}

// faults returns calls that fail in all ways.
func (b *rig) faults() []fault {
	d, q, img := b.Detector, b.queries, scene(1, 60, 40)
	find := func(img image.Image, q *Queries, params Params) func(context.Context) error {
		return func(ctx context.Context) error { return second(d.Detect(ctx, img, q, params)) }
	}
	ask := func(asked ...Query) func(context.Context) error {
		return func(ctx context.Context) error { return second(d.Queries(ctx, asked...)) }
	}
	at := func(boxes ...box.Box) func(context.Context) error {
		return func(ctx context.Context) error { return second(d.Regions(ctx, with(img, boxes...))) }
	}
	nan := float32(math.NaN())
	return []fault{
		{"the proposal network throws", find(cornered(throws), q, Params{}), torch.ErrLibtorch, "always fails", kindLibtorch},
		{"the proposal network has no memory", find(cornered(noMemory), q, Params{}), ErrOutOfMemory, "memory", kindOutOfMemory},
		{"proposals of another type", find(cornered(otherType), q, Params{}), rpn.ErrOutput, "float32", kindOutput},
		{"proposals of another width", find(cornered(otherWidth), q, Params{}), rpn.ErrOutput, "counts", kindOutput},
		{"the image tower throws", find(plain(throws), q, Params{}), torch.ErrLibtorch, "always fails", kindLibtorch},
		{"not even one crop has memory", find(plain(noMemory), q, Params{}), ErrOutOfMemory, "memory", kindOutOfMemory},
		{"embeddings of another type", find(plain(otherType), q, Params{}), clip.ErrOutput, "float32", kindOutput},
		{"embeddings of another width", find(plain(otherWidth), q, Params{}), clip.ErrOutput, "[16,32]", kindOutput},
		{"embeddings that are no numbers", find(plain(noNumber), q, Params{}), ErrOutput, "not a number", kindOutput},
		{"the text tower throws", ask(wordy(throws)), torch.ErrLibtorch, "always fails", kindLibtorch},
		{"not even one phrase has memory", ask(wordy(noMemory)), ErrOutOfMemory, "memory", kindOutOfMemory},
		{"phrases of another type", ask(wordy(otherType)), clip.ErrOutput, "float32", kindOutput},
		{"phrases of another width", ask(wordy(otherWidth)), clip.ErrOutput, "[8,32]", kindOutput},
		{"phrases that are no numbers", ask(wordy(noNumber)), ErrOutput, "not of numbers", kindOutput},
		{"too long a phrase", ask(Query{Name: "x", Phrases: []string{strings.Repeat("dog ", 100)}}), prompt.ErrTooLong, "", kindOther},
		{"no queries", ask(), ErrQuery, "", kindOther},
		{"nil for queries", find(img, nil, Params{}), ErrQuery, "nil", kindOther},
		{"an embedding of zeros", ask(Query{Name: "x", Examples: []Example{{Embedding: stored(d, 0)}}}), ErrQuery, "zeros", kindOther},
		{"an embedding of negative zeros", ask(Query{Name: "x", Examples: []Example{{Embedding: stored(d, 0x8000)}}}), ErrQuery, "zeros", kindOther},
		{"an infinite embedding", ask(Query{Name: "x", Examples: []Example{{Embedding: stored(d, 0x7c00)}}}), ErrQuery, "not finite", kindOther},
		{"an embedding that is no number", ask(Query{Name: "x", Examples: []Example{{Embedding: stored(d, 0xfe01)}}}), ErrQuery, "not finite", kindOther},
		{"closed queries", find(img, b.closed, Params{}), ErrClosed, "the queries", kindClosed},
		{"closed regions", func(ctx context.Context) error { return second(b.left.Match(ctx, q, Params{})) }, ErrClosed, "the regions", kindClosed},
		{"a parameter out of range", find(img, q, Params{TopK: -1}), ErrOption, "TopK", kindOther},
		{"no picture", find(nil, q, Params{}), pixels.ErrEmpty, "nil", kindOther},
		{"a nil pointer for a picture", find((*image.RGBA)(nil), q, Params{}), ErrPanic, "nil pointer", kindPanic},
		{"a nil RGB", find((*pixels.RGB)(nil), q, Params{}), pixels.ErrEmpty, "nil", kindOther},
		{"a picture of no pixels", find(image.NewRGBA(image.Rect(3, 3, 3, 9)), q, Params{}), pixels.ErrEmpty, "0 x", kindOther},
		{"a picture with too few pixels", find(&image.Gray{Pix: make([]uint8, 9), Stride: 50, Rect: image.Rect(0, 0, 50, 50)}, q, Params{}), ErrPanic, "out of range", kindPanic},
		{"an RGB with too few pixels", find(&pixels.RGB{Pix: make([]uint8, 9), Width: 50, Height: 50}, q, Params{}), pixels.ErrBroken, "9 bytes", kindOther},
		{"a picture that panics", find(panicking{image.Rect(0, 0, 9, 9)}, q, Params{}), ErrPanic, "out of range", kindPanic},
		{"a box that is no number", at(box.Box{X1: nan, Y1: 3}), ErrOption, "box 0", kindOther},
		{"a box whose edges are swapped", at(box.Box{X1: 3, Y1: 3}, box.Box{X0: 5, X1: 4, Y1: 3}), ErrOption, "box 1", kindOther},
	}
}

func second[T any](_ T, err error) error { return err }

// stored returns an embedding of equal numbers, by the bits of one in half precision.
func stored(d *Detector, bits uint16) []uint16 {
	return slices.Repeat([]uint16{bits}, d.files.Image.Manifest.EmbeddingWidth)
}

// TestEveryFailureIsItsCallers checks that a failure is the error of the call that caused
// it, that Stats counts it, and that 32 other goroutines get right answers meanwhile.
func TestEveryFailureIsItsCallers(t *testing.T) {
	b, err := openRig(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	d, q := b.Detector, b.queries
	images := []image.Image{scene(1, 80, 60), scene(2, 60, 80), scene(3, 40, 40)}
	lone := make([]*Result, len(images))
	for i, img := range images {
		if lone[i], err = d.Detect(t.Context(), img, q, Params{TopK: 3}); err != nil {
			t.Fatal(err)
		}
	}
	before, counted := live(t, d), d.Stats()

	stop := make(chan struct{})
	var good sync.WaitGroup
	for g := range 32 {
		good.Go(func() {
			for i := g; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				which := i % len(images)
				got, err := d.Detect(t.Context(), images[which], q, Params{TopK: 3})
				if err != nil || !reflect.DeepEqual(got.Detections, lone[which].Detections) {
					t.Errorf("goroutine %d: picture %d differs from that of a lone call: %v", g, which, err)
					return
				}
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	expired, late := context.WithDeadline(t.Context(), time.Now())
	defer late()
	var want [kinds]int64
	for _, fault := range b.faults() {
		err := fault.call(t.Context())
		if !errors.Is(err, fault.want) || !strings.Contains(err.Error(), fault.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %q, want one line with %q that is %v", fault.name, err, fault.says, fault.want)
		}
		want[fault.kind]++
	}
	for _, end := range []struct {
		ctx  context.Context
		want error
	}{{ended, context.Canceled}, {expired, context.DeadlineExceeded}} {
		for name, call := range map[string]func() error{
			"Detect":  func() error { return second(d.Detect(end.ctx, images[0], q, Params{})) },
			"Regions": func() error { return second(d.Regions(end.ctx, images[0])) },
			"Queries": func() error { return second(d.Queries(end.ctx, Query{Name: "x"})) },
		} {
			if err := call(); !errors.Is(err, end.want) {
				t.Errorf("%s: got %v, want %v", name, err, end.want)
			}
			want[kindEnded]++
		}
	}
	close(stop)
	good.Wait()
	if n := live(t, d) - before; n != 0 {
		t.Errorf("%d tensors are left", n)
	}
	for k := range kinds {
		if got := d.counts.failures[k].Load(); got != want[k] {
			t.Errorf("Stats counts %d failures of kind %q, want %d", got, k, want[k])
		}
	}
	if got := d.Stats(); got.Halved <= counted.Halved || got.Queue != 0 || got.Pictures <= counted.Pictures {
		t.Errorf("got %+v, want batches halved, pictures, and an empty queue", got)
	}
}

// TestNoCosineIsInfinite checks that an embedding with a NaN or an infinite value is an
// error for every rank, also if few boxes are asked for.
func TestNoCosineIsInfinite(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog", "cat")
	for _, bad := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		r, err := d.Regions(t.Context(), with(scene(1, 60, 40), box.Box{X1: 9, Y1: 9}, box.Box{X1: 30, Y1: 20}, box.Box{X1: 9, Y1: 20}))
		if err != nil {
			t.Fatal(err)
		}
		sound := r.embeddings
		defer sound.Drop()
		err = d.engine.Do(t.Context(), func(s *torch.Scope) error {
			values := torch.Download[float32](s, s.Use(sound))
			values[len(values)/2] = float32(bad)
			r.embeddings = s.Keep(torch.Upload(s, values, 3, int64(len(values)/3)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, rank := range ranks {
			for _, params := range []Params{{Rank: rank}, {Rank: rank, NMS: 1, TopK: 1}, {Rank: rank, Threshold: 0.9}} {
				if got, err := r.Match(t.Context(), q, params); !errors.Is(err, ErrOutput) {
					t.Errorf("%v by %s: got %+v, %v, want ErrOutput", bad, rank, got, err)
				}
			}
		}
	}
}

// TestLittleMemoryIsEnough checks that a batch that has no memory is halved, and that the
// answers are the same except for the last digits.
func TestLittleMemoryIsEnough(t *testing.T) {
	d := open(t, Options{Models: faulty()})
	sound := open(t, Options{})
	asked := wordy(littleMemory)
	// Each is one token, as dog is.
	for _, word := range []string{"cat", "car", "sun", "sea", "sky", "red", "ice"} {
		asked.Phrases = append(asked.Phrases, asked.Phrases[0][:len(asked.Phrases[0])-3]+word)
	}
	var got [2]*Result
	for i, detector := range []*Detector{d, sound} {
		q, err := detector.Queries(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		if got[i], err = detector.Detect(t.Context(), plain(littleMemory), q, Params{NMS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if len(got[0].Detections) == 0 || len(got[0].Detections) != len(got[1].Detections) {
		t.Fatalf("%d detections, %d where there is memory", len(got[0].Detections), len(got[1].Detections))
	}
	for i, f := range got[0].Detections {
		if w := got[1].Detections[i]; math.Abs(float64(f.Cosine-w.Cosine)) > 1e-5 {
			t.Errorf("detection %d has the cosine %v, %v where there is memory", i, f.Cosine, w.Cosine)
		}
	}
	if n := d.Stats().Halved; n != 3 { // crops 16 to 8 to 4, and phrases 8 to 4
		t.Errorf("batches were halved %d times, want 3", n)
	}
	if n := sound.Stats().Halved; n != 0 {
		t.Errorf("batches were halved %d times where there is memory", n)
	}
}

// TestAFaultInAGroupIsItsPictures checks that of pictures that are processed together
// only the picture with the fault fails.
func TestAFaultInAGroupIsItsPictures(t *testing.T) {
	d := open(t, Options{Models: faulty(), ImageBatch: 4, Proposals: 20})
	q := queries(t, d, "dog")
	sound := scene(1, 120, 90)
	want, err := d.Detect(t.Context(), sound, q, Params{TopK: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		bad  image.Image
		want error
	}{
		{"the network throws", cornered(throws), torch.ErrLibtorch},
		{"the network has no memory", cornered(noMemory), ErrOutOfMemory},
		{"the network has no memory for two", cornered(littleMemory), nil},
		{"the tower throws", plain(throws), torch.ErrLibtorch},
		{"the tower has no memory", plain(noMemory), ErrOutOfMemory},
		{"it panics", panicking{image.Rect(0, 0, 120, 90)}, ErrPanic},
	} {
		i := 0
		for got, err := range d.DetectAll(t.Context(), stream(sound, nil, sound, test.bad, sound, sound), q, Params{TopK: 2}) {
			switch {
			case i == 2:
				if !errors.Is(err, test.want) || test.want == nil && err != nil {
					t.Errorf("%s: got %v, want %v", test.name, err, test.want)
				}
			case err != nil:
				t.Errorf("%s: picture %d: %v", test.name, i, err)
			case !reflect.DeepEqual(got.Detections, want.Detections):
				t.Errorf("%s: picture %d: got %+v, alone %+v", test.name, i, got.Detections, want.Detections)
			}
			i++
		}
		if i != 5 {
			t.Errorf("%s: %d results of 5 pictures", test.name, i)
		}
	}
}

// endsAfter is a context that ends after so many calls of Err. Each step of a call of the
// detector calls Err.
type endsAfter struct {
	context.Context
	left  atomic.Int64
	ended chan struct{}
	once  sync.Once
}

func endAfter(n int64) *endsAfter {
	c := &endsAfter{Context: context.Background(), ended: make(chan struct{})}
	c.left.Store(n)
	return c
}

func (c *endsAfter) Done() <-chan struct{} { return c.ended }

func (c *endsAfter) Err() error {
	if c.left.Add(-1) >= 0 {
		return nil
	}
	c.once.Do(func() { close(c.ended) })
	return context.Canceled
}

// TestEndOfTheContextAtEachStage ends the context at every 20th part of a call, and at
// each of the call's last steps. The error must be the context's, and no tensor may be
// left.
func TestEndOfTheContextAtEachStage(t *testing.T) {
	d := open(t, Options{Proposals: 10, Background: []string{"a wall"}, TextCache: t.TempDir()})
	q, img := queries(t, d, "dog", "cat"), scene(1, 60, 40)
	regions, err := d.Regions(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	defer regions.Close()
	closing := func(c interface{ Close() }, err error) error {
		if err == nil {
			c.Close()
		}
		return err
	}
	stored, err := regions.Stored(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	blocks := func(yield func(Stored, error) bool) {
		for range 2 {
			if !yield(stored, nil) {
				return
			}
		}
	}
	name := 0
	for _, test := range []struct {
		name string
		call func(ctx context.Context) error
	}{
		{"Queries", func(ctx context.Context) error { return closing(d.Queries(ctx, Query{Name: "dog"})) }},
		{"Queries that aren't cached", func(ctx context.Context) error {
			name++
			return closing(d.Queries(ctx, Query{Name: "dog", Phrases: []string{fmt.Sprint("a dog ", name)}}))
		}},
		{"Queries that are alike", func(ctx context.Context) error {
			return closing(d.Queries(ctx, Query{Name: "dog"}, Query{Name: "Dog"}, Query{Name: "cat"}))
		}},
		{"Regions", func(ctx context.Context) error { return closing(d.Regions(ctx, img)) }},
		{"Regions with boxes", func(ctx context.Context) error {
			return closing(d.Regions(ctx, with(img, box.Box{X1: 9, Y1: 9})))
		}},
		{"Match", func(ctx context.Context) error { return second(regions.Match(ctx, q, Params{})) }},
		{"Detect", func(ctx context.Context) error { return second(d.Detect(ctx, img, q, Params{})) }},
		{"Detect with tiles", func(ctx context.Context) error { return second(d.Detect(ctx, img, q, Params{Tile: 50})) }},
		{"Nearest", func(ctx context.Context) error { return second(d.Nearest(ctx, blocks, q, Params{TopK: 12})) }},
		{"MatchStored", func(ctx context.Context) error {
			return second(d.MatchStored(ctx, stored, [][]int{{0}, {1}}, q, Params{}))
		}},
	} {
		const many = 1 << 40
		whole := endAfter(many)
		if err := test.call(whole); err != nil {
			t.Fatal(err)
		}
		before := live(t, d)
		steps := many - whole.left.Load()
		for n := int64(0); n < steps; n += max(1, min(steps/20, steps-12-n)) {
			if err := test.call(endAfter(n)); !errors.Is(err, context.Canceled) {
				t.Errorf("%s, ended after %d of %d steps: got %v, want Canceled", test.name, n, steps, err)
			}
			if live := live(t, d) - before; live != 0 {
				t.Fatalf("%s, ended after %d of %d steps: %d tensors are left", test.name, n, steps, live)
			}
		}
		if err := test.call(endAfter(steps)); err != nil {
			t.Errorf("%s, with %d steps: %v", test.name, steps, err)
		}
	}
}

// TestQueriesEndBeforeTheEngine checks that tokenising many queries ends with the
// context. The engine is closed, so that a call that reaches it fails with ErrClosed.
func TestQueriesEndBeforeTheEngine(t *testing.T) {
	d := open(t, Options{})
	d.Close()
	asked := []Query{{Name: "dog"}, {Name: "cat"}, {Name: "cup"}}
	for n := range int64(len(asked)) {
		if _, err := d.Queries(endAfter(n), asked...); !errors.Is(err, context.Canceled) {
			t.Errorf("ended after %d of %d queries: got %v, want Canceled", n, len(asked), err)
		}
	}
}

func TestDetectAllOfAStreamThatPanics(t *testing.T) {
	for _, pictures := range []int{1, 3} {
		d := open(t, Options{ImageBatch: pictures})
		q := queries(t, d, "dog")
		for name, end := range map[string]func(){
			"panic":          func() { panics() },
			"runtime.Goexit": runtime.Goexit,
		} {
			images := func(yield func(image.Image, error) bool) {
				_ = yield(scene(1, 40, 30), nil) && yield(scene(2, 40, 30), nil)
				end()
			}
			results := 0
			var last error
			for _, err := range d.DetectAll(t.Context(), images, q, Params{TopK: 1}) {
				if last != nil {
					t.Errorf("%s, %d at once: a yield came after %v", name, pictures, last)
				}
				if last = err; err == nil {
					results++
				}
			}
			if results != 2 || !errors.Is(last, ErrPanic) {
				t.Errorf("%s, %d at once: %d results and %v, want 2 and ErrPanic", name, pictures, results, last)
			}
			var panicked *PanicError
			if name == "panic" && (!errors.As(last, &panicked) || !strings.Contains(string(panicked.Stack), "panics")) {
				t.Errorf("%v has not the function in its stack", last)
			}
		}
		for _, err := range d.DetectAll(t.Context(), nil, q, Params{}) {
			if !errors.Is(err, ErrPanic) {
				t.Errorf("no stream: got %v, want ErrPanic", err)
			}
		}
	}
}

// A picture that isn't decoded because of a panic doesn't lose the others.
func TestDetectAllOfADecodeThatPanics(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	decode := func(_ context.Context, i int) (*pixels.RGB, error) {
		if i == 1 {
			panics()
		}
		return pixels.FromImage(scene(uint64(i), 40, 30))
	}
	next := 0
	for _, err := range d.DetectAll(t.Context(), pixels.DecodeAhead(t.Context(), []int{0, 1, 2}, 2, decode), q, Params{TopK: 1}) {
		var panicked *PanicError
		if next != 1 && err != nil || next == 1 && (!errors.Is(err, ErrPanic) || !errors.As(err, &panicked) || !strings.Contains(string(panicked.Stack), "panics")) {
			t.Errorf("picture %d: got %v, want ErrPanic with the stack for picture 1 alone", next, err)
		}
		next++
	}
	if next != 3 || d.Stats().Failures["panic"] != 1 {
		t.Errorf("%d results and failures %v, want 3 and one panic", next, d.Stats().Failures)
	}
}

// ending is a log handler that ends the goroutine that logs a message.
type ending struct {
	slog.Handler
	message string
	end     func()
}

func (e ending) Enabled(context.Context, slog.Level) bool { return true }

func (e ending) Handle(_ context.Context, r slog.Record) error {
	if r.Message == e.message {
		e.end()
	}
	return nil
}

// TestOpenWithALoggerThatPanics checks that no models stay loaded if Open returns no
// Detector that could be closed.
func TestOpenWithALoggerThatPanics(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	for name, end := range map[string]func(){"panic": panics, "runtime.Goexit": runtime.Goexit} {
		_, err := Open(t.Context(), Options{Models: tiny(), Threads: 1, Logger: slog.New(ending{slog.DiscardHandler, "models loaded", end})})
		if !errors.Is(err, ErrPanic) {
			t.Errorf("%s: got %v, want ErrPanic", name, err)
		}
		if n := torch.Live(); n != 0 {
			t.Errorf("%s: %d tensors are left", name, n)
		}
	}
	torchtest.NoMoreGoroutines(t, goroutines)
}

// TestDetectAllWithALoggerThatPanics checks that the caller's code on a goroutine of
// DetectAll can't end the process.
func TestDetectAllWithALoggerThatPanics(t *testing.T) {
	for name, end := range map[string]func(){"panic": panics, "runtime.Goexit": runtime.Goexit} {
		d := open(t, Options{Logger: slog.New(ending{slog.DiscardHandler, "regions found", end})})
		q := queries(t, d, "dog")
		before, yields := live(t, d), 0
		for _, err := range d.DetectAll(t.Context(), stream(scene(1, 40, 30), nil, scene(2, 40, 30)), q, Params{}) {
			if yields++; !errors.Is(err, ErrPanic) {
				t.Errorf("%s: got %v, want ErrPanic", name, err)
			}
		}
		for _, err := range d.RegionsAll(t.Context(), stream(scene(1, 40, 30), nil, scene(2, 40, 30))) {
			if yields++; !errors.Is(err, ErrPanic) {
				t.Errorf("%s, regions: got %v, want ErrPanic", name, err)
			}
		}
		if n := live(t, d) - before; yields != 4 || n != 0 {
			t.Errorf("%s: %d yields, and %d tensors are left; want 4 and none", name, yields, n)
		}
	}
}

// TestDetectAllHasItsOwnThresholds changes the caller's thresholds while the stream runs.
func TestDetectAllHasItsOwnThresholds(t *testing.T) {
	d := open(t, Options{Proposals: 10})
	q := queries(t, d, "dog")
	params := Params{Thresholds: map[string]float32{"dog": 2}} // above all scores
	results := d.DetectAll(t.Context(), stream(scene(1, 40, 30), nil, scene(2, 40, 30), scene(3, 40, 30)), q, params)
	params.Thresholds["dog"] = 0
	for got, err := range results {
		if err != nil || len(got.Detections) > 0 || got.Presence[0].Threshold != 2 {
			t.Errorf("got %+v, %v, want the threshold that DetectAll was given", got, err)
		}
		params.Thresholds["cat"] = 0.5
	}
}

func panics() { panicking{}.At(0, 0) }

// TestDetectAllOfAStreamThatBlocks checks that the end of the context is yielded at once.
// Here the stream blocks until it is yielded.
func TestDetectAllOfAStreamThatBlocks(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	unblock, over := make(chan struct{}), false
	images := func(yield func(image.Image, error) bool) {
		yield(scene(1, 40, 30), nil)
		<-unblock
		over = true
	}
	var last error
	for _, last = range d.DetectAll(ctx, images, q, Params{}) {
		if last != nil {
			close(unblock)
		}
	}
	if !errors.Is(last, context.DeadlineExceeded) {
		t.Errorf("the last yield is %v, want DeadlineExceeded", last)
	}
	if !over {
		t.Error("the stream still runs after the loop")
	}
}

// TestDetectAllLeftHalfWay leaves the loop by break, by a panic of its body, and by Close
// of the detector. No tensor and no goroutine may be left.
func TestDetectAllLeftHalfWay(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	for _, pictures := range []int{1, 4} {
		d := open(t, Options{ImageBatch: pictures, Proposals: 10})
		q := queries(t, d, "dog")
		endless := func(yield func(image.Image, error) bool) {
			for n := uint64(0); yield(scene(n, 40, 30), nil); n++ {
			}
		}
		for range d.DetectAll(t.Context(), endless, q, Params{}) {
			break
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic of the loop's body was lost")
				}
			}()
			for range d.DetectAll(t.Context(), endless, q, Params{}) {
				panics()
			}
		}()
		results := 0
		for _, err := range d.DetectAll(t.Context(), endless, q, Params{}) {
			if err == nil {
				if results++; results == 2 {
					d.Close()
				}
				continue
			}
			if !errors.Is(err, ErrClosed) {
				t.Errorf("after Close: got %v, want ErrClosed", err)
			}
			break
		}
		if results < 2 {
			t.Errorf("%d results before Close, want 2", results)
		}
		if n := torch.Live(); n != 0 {
			t.Errorf("%d tensors live after Close", n)
		}
	}
	torchtest.NoMoreGoroutines(t, goroutines)
}

// TestCloseDuringCalls closes a detector during calls of every kind. Each must end with a
// right answer or ErrClosed, and no tensor may be left.
func TestCloseDuringCalls(t *testing.T) {
	img := scene(1, 60, 40)
	for round := range 5 {
		d := open(t, Options{Proposals: 10, Background: []string{"a wall"}})
		q := queries(t, d, "dog")
		regions, err := d.Regions(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		want, err := regions.Match(t.Context(), q, Params{})
		if err != nil {
			t.Fatal(err)
		}
		same := func(got *Result, err error) error {
			if err == nil && !reflect.DeepEqual(got.Detections, want.Detections) {
				return fmt.Errorf("other detections than before: %+v", got.Detections)
			}
			return err
		}
		var callers sync.WaitGroup
		for _, call := range []func() error{
			func() error { return same(d.Detect(t.Context(), img, q, Params{})) },
			func() error { return same(regions.Match(t.Context(), q, Params{})) },
			// The detector's Close closes these.
			func() error { return second(d.Queries(t.Context(), Query{Name: "cat"})) },
			func() error { return second(d.Regions(t.Context(), img)) },
			func() error { return second(d.Regions(t.Context(), with(img, box.Box{X1: 9, Y1: 9}))) },
			func() error {
				for got, err := range d.DetectAll(t.Context(), stream(img, nil, img), q, Params{}) {
					if err := same(got, err); err != nil {
						return err
					}
				}
				return nil
			},
		} {
			callers.Go(func() {
				for {
					if err := call(); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Errorf("got %v, want ErrClosed", err)
						}
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(5+20*round) * time.Millisecond)
		for range 2 { // also at the same time
			callers.Go(func() { d.Close() })
		}
		callers.Wait()
		if n := torch.Live(); n != 0 {
			t.Fatalf("%d tensors live after Close", n)
		}
		regions.Close()
		q.Close()
		if s := d.Stats(); s.Failures["closed"] < 6 || s.Failures["closed"] > 6+defaultImageBatch+lookAhead+1 || s.Queue != 0 {
			t.Errorf("got %+v, want 6 calls that were closed, and as many pictures of DetectAll as were ahead, and an empty queue", s)
		}
	}
}

// TestProgressMayPanic checks that the caller's code on the engine's thread can't end it.
func TestProgressMayPanic(t *testing.T) {
	bad := true
	d := open(t, Options{Progress: func(int, int) {
		if bad {
			panics()
		}
	}})
	if _, err := d.Queries(t.Context(), Query{Name: "dog"}); !errors.Is(err, ErrPanic) {
		t.Errorf("got %v, want ErrPanic", err)
	}
	bad = false
	queries(t, d, "dog")
}
