package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"image"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/results"
)

var (
	loadFor = flag.Duration("load", time.Second, "how long the clients of TestThroughput send pictures; from 30s on it has the built-in models, and holds the ratio and the latency")
	soakFor = flag.Duration("soak", 2*time.Second, "how long TestSoak runs; from 30s on it holds the memory")
	growth  = flag.Int("soak-growth", 64, "MB by which a long TestSoak may grow the process after its first quarter")
)

const clients = 64

// sample is a picture and what a lone call finds in it.
type sample struct {
	data string
	want results.Record
}

func samples(t testing.TB, d *detect.Detector, names ...string) []sample {
	var all []sample
	for _, name := range names {
		data := read(t, name)
		all = append(all, sample{data, alone(t, d, "-", data, detect.Params{Threshold: 0.1, TopK: 2}, false, "owl", "cup")})
	}
	return all
}

const loadQuestion = "/v1/detect?q=owl&q=cup&threshold=0.1&top_k=2"

// TestThroughput compares the pictures a second of many clients with those of DetectAll,
// and each answer with that of a lone call.
func TestThroughput(t *testing.T) {
	long := *loadFor >= 30*time.Second
	options := detect.Options{}
	if long {
		options = detect.Options{Models: builtin.Models(), Proposals: detect.DefaultProposals}
	}
	s := start(t, options, Options{Queue: 2 * clients, Time: time.Hour}) // however slow the machine is
	pictures := samples(t, s.detector, "photos/cat.jpg", "photos/coffee.jpg", "photos/rocket.jpg", "images/scene-002.jpg")
	since := time.Now()
	for _, p := range pictures {
		alone(t, s.detector, "-", p.data, detect.Params{}, false, "owl", "cup")
	}
	lone := time.Since(since) / time.Duration(len(pictures))

	// DetectAll before and after, since other programs may use the processors too.
	before, beforeCPU := all(t, s.detector, pictures, *loadFor/2)
	spent := processorTime(t)
	served, times := s.load(t, pictures, *loadFor)
	servedCPU := (processorTime(t) - spent) / time.Duration(len(times))
	after, afterCPU := all(t, s.detector, pictures, *loadFor/2)
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	ratio := served / ((before + after) / 2)
	t.Logf("%d clients: %.2f pictures a second, DetectAll %.2f and %.2f; ratio %.3f; %d answers, median %v, p99 %v; a lone call takes %v, %d of them %v",
		clients, served, before, after, ratio, len(times), times[len(times)/2], p99, lone, clients, clients*lone)
	t.Logf("processor time of a picture: %v with the clients, DetectAll %v and %v", servedCPU, beforeCPU, afterCPU)
	if long && ratio < 0.95 {
		t.Errorf("the service does %.3f of DetectAll's pictures, want 0.95", ratio)
	}
	if long && p99 > clients*lone {
		t.Errorf("p99 is %v, want at most %v, the queue's length times a lone call's time", p99, clients*lone)
	}
}

// processorTime returns the time of processors that this process has taken, which other
// programs don't change much.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// all returns the pictures a second of DetectAll, and the processors' time of one.
func all(t *testing.T, d *detect.Detector, pictures []sample, long time.Duration) (rate float64, each time.Duration) {
	t.Helper()
	queries, err := d.Queries(t.Context(), detect.Query{Name: "owl"}, detect.Query{Name: "cup"})
	if err != nil {
		t.Fatal(err)
	}
	defer queries.Close()
	since, spent, n := time.Now(), processorTime(t), 0
	var stream iter.Seq2[image.Image, error] = func(yield func(image.Image, error) bool) {
		for i := 0; time.Since(since) < long; i++ {
			if !yield(pixels.Decode(strings.NewReader(pictures[i%len(pictures)].data), pixels.Limits{})) {
				return
			}
		}
	}
	for _, err := range d.DetectAll(t.Context(), stream, queries, detect.Params{Threshold: 0.1, TopK: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return float64(n) / time.Since(since).Seconds(), (processorTime(t) - spent) / time.Duration(n)
}

// load lets clients send pictures, and returns the pictures a second and the time of each.
func (s service) load(t *testing.T, pictures []sample, long time.Duration) (rate float64, times []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	since := time.Now()
	for client := range clients {
		group.Go(func() {
			for i := client; time.Since(since) < long; i++ {
				p, sent := pictures[i%len(pictures)], time.Now()
				r, err := s.try(t.Context(), "POST", loadQuestion, "image/jpeg", p.data)
				if err != nil || r.status != http.StatusOK || !same(t, r.body, p.want) {
					t.Errorf("%v, %d %.300s; want %+v", err, r.status, r.body, p.want)
					return
				}
				mu.Lock()
				times = append(times, time.Since(sent))
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return float64(len(times)) / time.Since(since).Seconds(), times
}

// TestSoak sends random good and bad requests from many clients, more than the queue
// takes. Each good one must be refused with 429, or have the answer of a lone call; each
// bad one must have its own problem. At the end no place, memory, goroutine or file is
// left, and at the end of all tests no tensor.
func TestSoak(t *testing.T) {
	s := start(t, detect.Options{TextMemory: 100}, Options{
		Queue: 12, Pictures: 4, Pixels: 1e6, Bytes: 1 << 20, Memory: 8 << 20, Kept: 3, KeepFor: time.Second, BodyTime: time.Second,
	})
	k := &soak{service: s, pictures: samples(t, s.detector, "photos/cat.jpg", "photos/coffee.jpg", "images/scene-002.jpg")}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var resident, files, goroutines int
	const rounds = 4
	for round := range rounds {
		var group sync.WaitGroup
		until := time.Now().Add(*soakFor / rounds)
		for client := range clients / 2 {
			random := rand.New(rand.NewPCG(seed, uint64(round*clients+client)))
			group.Go(func() {
				for time.Now().Before(until) {
					if err := k.once(t.Context(), random); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		torchtest.Within(t, "places", 0, s.places.taken)
		torchtest.Within(t, "requests", 0, func() int { s.mu.Lock(); defer s.mu.Unlock(); return s.running })
		torchtest.Within(t, "kept regions", 0, func() int { n, _ := s.kept.size(); return n })
		http.DefaultClient.CloseIdleConnections()
		debug.FreeOSMemory()
		if round == 0 {
			resident, files, goroutines = torchtest.Resident(t), openFiles(t), runtime.NumGoroutine()
			continue
		}
		torchtest.Within(t, "goroutines", goroutines+4, runtime.NumGoroutine) // some keep waiting for the next connection
		torchtest.Within(t, "files", files+4, func() int { return openFiles(t) })
		now := torchtest.Resident(t)
		t.Logf("round %d: %d good, %d bad, %d refused; %d MB, %d after the first; %d tensors, %d goroutines, %d files", round,
			k.good.Load(), k.bad.Load(), k.refused.Load(), now>>20, resident>>20, s.detector.Stats().LiveTensors, runtime.NumGoroutine(), openFiles(t))
		if grown := (now - resident) >> 20; *soakFor >= 30*time.Second && grown > *growth {
			t.Errorf("the process grew by %d MB since the first round, and %d are allowed", grown, *growth)
		}
	}
	if !s.bodies.TryAcquire(8<<20) || !s.pictures.TryAcquire(8<<20) {
		t.Error("memory of bodies or pictures isn't given back")
	}
	if k.good.Load() == 0 || k.bad.Load() == 0 {
		t.Errorf("%d good requests, %d bad ones; want some of each", k.good.Load(), k.bad.Load())
	}
}

func openFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

type soak struct {
	service
	pictures           []sample
	good, bad, refused atomic.Int64
}

// once sends one request.
func (k *soak) once(ctx context.Context, random *rand.Rand) error {
	p := k.pictures[random.IntN(len(k.pictures))]
	switch random.IntN(9) {
	case 0, 1:
		return k.expect(ctx, "a picture", loadQuestion, "", p.data, 200, func(text string) bool { return sameRecord(text, p.want) })
	case 2:
		return k.match(ctx, p)
	case 3:
		return k.form(ctx, p)
	case 4:
		return k.expect(ctx, "a broken picture", loadQuestion, "", p.data[:len(p.data)*2/3], 422, nil)
	case 5:
		return k.expect(ctx, "a huge picture", loadQuestion, "", hugePNG(), 413, nil)
	case 6:
		return k.expect(ctx, "a bad query", fmt.Sprintf("/v1/detect?q=a&q=word%d=@x", random.IntN(1000)), "", p.data, 400, nil)
	case 7:
		return k.leave(ctx, p, random)
	}
	return k.half(ctx, p, random)
}

// expect sends a request that may be refused, and checks its answer.
func (k *soak) expect(ctx context.Context, what, path, kind, body string, status int, right func(string) bool) error {
	r, err := k.try(ctx, "POST", path, kind, body)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case isRefused(r):
		k.refused.Add(1)
	case r.status != status || right != nil && !right(r.body):
		return fmt.Errorf("%s: %d %.300s; want %d", what, r.status, r.body, status)
	case status == 200:
		k.good.Add(1)
	default:
		k.bad.Add(1)
	}
	return nil
}

// isRefused reports whether a request was refused whatever it was: the queue was full, or
// the machine is so busy that the body didn't come in time.
func isRefused(r reply) bool {
	return r.status == http.StatusTooManyRequests && r.header.Get("Retry-After") != "" || r.status == http.StatusRequestTimeout
}

func (k *soak) match(ctx context.Context, p sample) error {
	r, err := k.try(ctx, "POST", "/v1/regions", "", p.data)
	if err != nil {
		return err
	}
	if isRefused(r) {
		k.refused.Add(1)
		return nil
	}
	_, id, ok := strings.Cut(r.body, `{"id":"`)
	if !ok || r.status/100 != 2 {
		return fmt.Errorf("regions: %d %.300s", r.status, r.body)
	}
	path := "/v1/regions/" + id[:64] + "/match" + strings.TrimPrefix(loadQuestion, "/v1/detect")
	r, err = k.try(ctx, "POST", path, "", "")
	switch {
	case err != nil:
		return err
	case isRefused(r), r.status == http.StatusNotFound: // others took their room
		k.refused.Add(1)
	case r.status != 200 || !sameRecord(r.body, p.want):
		return fmt.Errorf("match: %d %.300s; want %+v", r.status, r.body, p.want)
	default:
		k.good.Add(1)
	}
	return nil
}

func (k *soak) form(ctx context.Context, p sample) error {
	const boundary = "x-y-z"
	var body strings.Builder
	for i, data := range []string{p.data, "no picture", p.data} {
		fmt.Fprintf(&body, "--%s\r\nContent-Disposition: form-data; name=image; filename=%d\r\n\r\n%s\r\n", boundary, i, data)
	}
	body.WriteString("--" + boundary + "--\r\n")
	return k.expect(ctx, "a form", loadQuestion, "multipart/form-data; boundary="+boundary, body.String(), 200, func(text string) bool {
		lines := strings.Split(text, "\n")
		first, last := p.want, p.want
		first.Image, last.Image = "0", "2"
		return len(lines) == 4 && sameRecord(lines[0], first) && strings.HasPrefix(lines[1], `{"image":"1","error":`) && sameRecord(lines[2], last)
	})
}

// leave sends a picture and doesn't wait for the answer.
func (k *soak) leave(ctx context.Context, p sample, random *rand.Rand) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(20))*time.Millisecond)
	defer cancel()
	if _, err := k.try(ctx, "POST", loadQuestion, "", p.data); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("a client that leaves: %w", err)
	}
	k.bad.Add(1)
	return nil
}

// half sends half a body, and then nothing, or leaves.
func (k *soak) half(ctx context.Context, p sample, random *rand.Rand) error {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(k.url, "http://"))
	if err != nil {
		return err
	}
	defer connection.Close()
	fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", loadQuestion, len(p.data), p.data[:len(p.data)/2])
	k.bad.Add(1)
	if random.IntN(2) == 0 {
		return nil
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return fmt.Errorf("half a body: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestTimeout && response.StatusCode != http.StatusTooManyRequests {
		return fmt.Errorf("half a body: %s, want 408", response.Status)
	}
	return nil
}

// hugePNG returns a PNG of some bytes that says it is 60,000 x 60,000 pixels.
func hugePNG() string {
	header := binary.BigEndian.AppendUint32(nil, 60_000)
	header = binary.BigEndian.AppendUint32(header, 60_000)
	header = append([]byte("IHDR"), append(header, 8, 2, 0, 0, 0)...)
	var png bytes.Buffer
	png.WriteString("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d")
	png.Write(header)
	_ = binary.Write(&png, binary.BigEndian, crc32.ChecksumIEEE(header)) // a buffer has no errors
	return png.String()
}
