package detect

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"iter"
	"maps"
	"math/rand/v2"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/pixels"
)

var (
	soakFor    = flag.Duration("soak", 2*time.Second, "how long TestSoak runs")
	soakSeed   = flag.Uint64("soak-seed", 0, "of TestSoak; 0 is another one each time")
	soakGrowth = flag.Int("soak-growth", 64, "MB by which TestSoak, where it runs for 30 s or more, may grow the process after its first round")
)

const (
	soakCallers = 16
	soakEnough  = 1500 // calls, among which each fault must occur
	// soakThreads more threads than after the first round are allowed: Go keeps those
	// that once waited in a system call.
	soakThreads = 8
)

// TestSoak makes random good and bad calls from many goroutines, on detectors that are
// closed and replaced meanwhile. Each good call must have the answer of a lone call, and
// each bad call its own error. After each round, all detectors are closed. Then no tensor
// and no goroutine may be left. Compared with the first round, there may be soakThreads
// more threads and -soak-growth more memory. A short run only reports memory, since
// libtorch and Go still allocate for the first time after the first round.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-soak %v -soak-seed %d", *soakFor, seed)
	s := &soak{cache: t.TempDir(), counts: make(map[string]int)}
	if err := s.askAlone(t.Context()); err != nil {
		t.Fatal(err)
	}
	goroutines := runtime.NumGoroutine()
	var threads, resident int
	rounds := max(4, int(*soakFor/time.Minute))
	for round := range rounds {
		if err := s.round(t.Context(), *soakFor/time.Duration(rounds), rand.New(rand.NewPCG(seed, uint64(round)))); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if n := torch.Live(); n != 0 {
			t.Errorf("round %d: %d tensors are left", round, n)
		}
		torchtest.NoMoreGoroutines(t, goroutines)
		debug.FreeOSMemory()
		nowThreads, nowResident := torchtest.Threads(t), torchtest.Resident(t)
		t.Logf("round %d: %d calls, %d faults so far; %d goroutines, %d threads, %d MB", round, s.calls.Load(), s.faulted.Load(),
			runtime.NumGoroutine(), nowThreads, nowResident>>20)
		if round == 0 {
			threads, resident = nowThreads, nowResident
		}
		if nowThreads > threads+soakThreads {
			t.Errorf("round %d: %d threads, %d after the first", round, nowThreads, threads)
		}
		if grown := (nowResident - resident) >> 20; grown > *soakGrowth && *soakFor >= 30*time.Second {
			t.Errorf("round %d: the process grew by %d MB since the first, and %d are allowed", round, grown, *soakGrowth)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		t.Logf("%8d  %s", s.counts[what], what)
		if s.counts[what] == 0 && s.calls.Load() >= soakEnough {
			t.Errorf("there was no %q among %d calls", what, s.calls.Load())
		}
	}
}

// soak is the state that the callers of TestSoak share.
type soak struct {
	cache          string // of texts, shared by all detectors
	images         []image.Image
	params         []Params
	want           [][]*Result // [image][params]: the answers of lone calls
	calls, faulted atomic.Int64

	mu     sync.Mutex
	counts map[string]int
}

// place holds a detector that may be replaced while calls run on it.
type place struct{ now atomic.Pointer[tenant] }

type tenant struct {
	*rig
	faults []fault
	gone   atomic.Bool // set before it is closed
}

func (s *soak) open(ctx context.Context, random *rand.Rand) (*tenant, error) {
	options := Options{ImageBatch: 1 + 2*random.IntN(2)}
	if random.IntN(2) == 0 {
		options.TextCache = s.cache
	}
	b, err := openRig(ctx, options)
	if err != nil {
		return nil, err
	}
	return &tenant{rig: b, faults: b.faults()}, nil
}

func (s *soak) askAlone(ctx context.Context) error {
	s.images = []image.Image{scene(1, 80, 60), scene(2, 60, 80), scene(3, 40, 40), scene(4, 80, 60), scene(5, 80, 60)}
	s.params = []Params{{}, {TopK: 2}, {NMS: 1, Rank: RankCosine}, {Rank: RankProbability, Threshold: 0.3}}
	b, err := openRig(ctx, Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	for _, f := range b.faults() {
		s.counts["fault: "+f.name] = 0
	}
	for _, img := range s.images {
		var own []*Result
		for _, p := range s.params {
			result, err := b.Detect(ctx, img, b.queries, p)
			if err != nil {
				return err
			}
			own = append(own, result)
		}
		s.want = append(s.want, own)
	}
	return nil
}

// round runs all callers for a time, and returns the first wrong answer.
func (s *soak) round(ctx context.Context, length time.Duration, random *rand.Rand) error {
	places := make([]place, 2)
	for i := range places {
		opened, err := s.open(ctx, random)
		if err != nil {
			return err
		}
		places[i].now.Store(opened)
	}
	var wrong atomic.Pointer[error]
	end := time.Now().Add(length)
	var callers sync.WaitGroup
	for range soakCallers {
		own := rand.New(rand.NewPCG(random.Uint64(), 1))
		callers.Go(func() {
			for time.Now().Before(end) && wrong.Load() == nil {
				what, err := s.call(ctx, &places[own.IntN(len(places))], own)
				s.mu.Lock()
				s.counts[what]++
				s.mu.Unlock()
				if err != nil {
					err = fmt.Errorf("%s: %w", what, err)
					wrong.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	callers.Wait()
	for i := range places {
		places[i].now.Load().Close()
	}
	if err := wrong.Load(); err != nil {
		return *err
	}
	return nil
}

// call makes one random call. It returns the call's kind, and what was wrong with its
// answer.
func (s *soak) call(ctx context.Context, at *place, random *rand.Rand) (what string, wrong error) {
	s.calls.Add(1)
	on := at.now.Load()
	i, p := random.IntN(len(s.images)), random.IntN(len(s.params))
	img, params := s.images[i], s.params[p]
	switch n := random.IntN(100); {
	case n < 25:
		got, err := on.Detect(ctx, img, on.queries, params)
		return "good: Detect", s.check(on, i, p, got, err)
	case n < 35:
		regions, err := on.Regions(ctx, img)
		if err != nil {
			return "good: Match", s.allow(on, err)
		}
		defer regions.Close()
		for p, params := range s.params {
			got, err := regions.Match(ctx, on.queries, params)
			if err := s.check(on, i, p, got, err); err != nil {
				return "good: Match", err
			}
		}
		return "good: Match", nil
	case n < 45:
		q, err := on.Queries(ctx, Query{Name: "dog"}, Query{Name: "cat"})
		if err != nil {
			return "good: Queries", s.allow(on, err)
		}
		defer q.Close()
		got, err := on.Detect(ctx, img, q, params)
		return "good: Queries", s.check(on, i, p, got, err)
	case n < 60:
		return "stream: DetectAll", s.stream(ctx, on, random)
	case n < 66:
		stats := on.Stats()
		if _, err := json.Marshal(stats); err != nil || stats.Queue < 0 || stats.Queue > 4*soakCallers || stats.LiveTensors < 0 {
			return "good: Stats", fmt.Errorf("%+v, %w", stats, err)
		}
		return "good: Stats", nil
	case n < 73: // at a random moment
		with, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(30_000))*time.Microsecond)
		defer cancel()
		got, err := on.Detect(with, img, on.queries, params)
		return "fault: expires", s.checkUnless(on, context.DeadlineExceeded, i, p, got, err)
	case n < 79: // at a random step
		got, err := on.Detect(endAfter(int64(random.IntN(400))), img, on.queries, params)
		return "fault: cancelled", s.checkUnless(on, context.Canceled, i, p, got, err)
	case n < 80:
		fresh, err := s.open(ctx, random)
		if err != nil {
			return "fault: Close and Open", err
		}
		old := at.now.Swap(fresh)
		old.gone.Store(true)
		s.faulted.Add(1)
		return "fault: Close and Open", old.Close()
	default:
		s.faulted.Add(1)
		f := on.faults[random.IntN(len(on.faults))]
		err := f.call(ctx)
		if errors.Is(err, f.want) && strings.Contains(err.Error(), f.says) {
			return "fault: " + f.name, nil
		}
		if err == nil {
			err = errors.New("it didn't fail")
		}
		return "fault: " + f.name, s.allow(on, err)
	}
}

// allow returns nil for an ErrClosed of a detector that was closed, and other errors as
// they are.
func (s *soak) allow(on *tenant, err error) error {
	if on.gone.Load() && errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// check compares an answer with the answer of a lone call.
func (s *soak) check(on *tenant, i, p int, got *Result, err error) error {
	if err != nil {
		return s.allow(on, err)
	}
	if want := s.want[i][p]; !reflect.DeepEqual(got.Detections, want.Detections) || !reflect.DeepEqual(got.Proposals, want.Proposals) {
		return fmt.Errorf("image %d, %+v: got %+v, alone %+v", i, s.params[p], got.Detections, want.Detections)
	}
	return nil
}

func (s *soak) checkUnless(on *tenant, end error, i, p int, got *Result, err error) error {
	if errors.Is(err, end) {
		s.faulted.Add(1)
		return nil
	}
	return s.check(on, i, p, got, err)
}

// entry is what a stream yields: a good picture by its number, or a bad picture or error,
// with the error that DetectAll must yield for it.
type entry struct {
	good int
	img  image.Image
	err  error
	want error
}

// stream runs DetectAll on a random stream. The loop may be left, the context may end, or
// the stream may panic.
func (s *soak) stream(ctx context.Context, on *tenant, random *rand.Rand) error {
	broken := errors.New("broken file")
	bad := []entry{
		{img: cornered(throws), want: torch.ErrLibtorch}, {img: cornered(noMemory), want: ErrOutOfMemory},
		{img: plain(throws), want: torch.ErrLibtorch}, {img: plain(noMemory), want: ErrOutOfMemory},
		{img: panicking{image.Rect(0, 0, 9, 9)}, want: ErrPanic}, {want: pixels.ErrEmpty}, {err: broken, want: broken},
	}
	entries := make([]entry, 1+random.IntN(5))
	for i := range entries {
		if entries[i].good = random.IntN(len(s.images)); random.IntN(4) == 0 {
			entries[i] = bad[random.IntN(len(bad))]
			entries[i].good = -1
		} else {
			entries[i].img = s.images[entries[i].good]
		}
	}
	var images iter.Seq2[image.Image, error] = func(yield func(image.Image, error) bool) {
		for _, e := range entries {
			if !yield(e.img, e.err) {
				return
			}
		}
	}
	end, at := random.IntN(5), random.IntN(len(entries))
	due := len(entries)
	with, cancel := context.WithCancel(ctx)
	defer cancel()
	if whole := images; end == 0 {
		due++
		images = func(yield func(image.Image, error) bool) {
			whole(func(img image.Image, err error) bool { return yield(img, err) })
			panics()
		}
	}
	seen := 0
	for got, err := range on.DetectAll(with, images, on.queries, s.params[1]) {
		switch {
		case errors.Is(err, context.Canceled) && end == 1:
			s.faulted.Add(1)
			return nil
		case seen == len(entries):
			if !errors.Is(err, ErrPanic) {
				return fmt.Errorf("after the stream's panic: %w", err)
			}
			s.faulted.Add(1)
		case entries[seen].good < 0:
			if s.faulted.Add(1); !errors.Is(err, entries[seen].want) {
				if err = s.allow(on, err); err != nil {
					return fmt.Errorf("picture %d of %d: got %w, want %w", seen, len(entries), err, entries[seen].want)
				}
			}
		default:
			if err := s.check(on, entries[seen].good, 1, got, err); err != nil {
				return fmt.Errorf("picture %d of %d: %w", seen, len(entries), err)
			}
		}
		seen++
		if end == 1 && seen > at {
			cancel()
		}
		if end == 2 && seen > at {
			s.faulted.Add(1)
			return nil
		}
	}
	if seen != due && end != 1 {
		return fmt.Errorf("%d results of %d pictures", seen, due)
	}
	return nil
}
