package detect

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/clip"
	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Stats are what a Detector has done since it was opened, and what it does now. Numbers
// that say "now" go up and down; the others only grow. JSON has durations in milliseconds.
type Stats struct {
	// Calls are those of Queries, Regions, RegionsAt, Match and Detect that have ended,
	// and the pictures of DetectAll.
	Calls int64 `json:"calls"`
	// Failures are those of Calls that ended with an error, by its kind.
	Failures Failures `json:"failures"`
	// Pictures are those whose boxes were found, or given, and embedded.
	Pictures int64 `json:"pictures"`
	// Crops are those that the image tower embedded: the same pixels of a picture once.
	Crops int64 `json:"crops"`
	// Phrases are those that the text tower embedded.
	Phrases int64 `json:"phrases"`
	// CacheHits are the phrases that came from Options.TextCache.
	CacheHits int64 `json:"cache_hits"`
	// Halved is how often a batch of crops or phrases was halved, since the memory
	// didn't suffice.
	Halved int64 `json:"halved"`
	// Queue is how many calls wait for the engine now.
	Queue int64 `json:"queue"`
	// LiveTensors are those that exist now, of all detectors of the process.
	LiveTensors int64 `json:"live_tensors"`
	// Timings are the sums of the stages of all pictures and matches that succeeded.
	Timings Timings `json:"timings_ms"`
	// Text is the sum of Queries.Took.
	Text time.Duration `json:"-"` // "text_ms"
	// Wait is how long calls have waited for the engine in all.
	Wait time.Duration `json:"-"` // "wait_ms"
}

// Failures are calls that ended with an error, each in the first kind that fits.
type Failures struct {
	Ended       int64 `json:"ended"`         // the context was cancelled or expired
	Closed      int64 `json:"closed"`        // ErrClosed
	OutOfMemory int64 `json:"out_of_memory"` // ErrOutOfMemory
	Libtorch    int64 `json:"libtorch"`      // libtorch's other errors
	Output      int64 `json:"output"`        // ErrOutput of this package, of rpn or clip
	Panic       int64 `json:"panic"`         // ErrPanic
	Other       int64 `json:"other"`         // input that can't be used, and a stream's own errors
}

// MarshalJSON adds text_ms and wait_ms.
func (s Stats) MarshalJSON() ([]byte, error) {
	type plain Stats
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.Marshal(struct {
		plain
		Text float64 `json:"text_ms"`
		Wait float64 `json:"wait_ms"`
	}{plain(s), ms(s.Text), ms(s.Wait)})
}

// Stats reads the counters. It costs the engine nothing, may be called from any goroutine
// at any time, also after Close, and suits expvar.Func. Numbers of a call that runs may be
// in some of the counters and not yet in others.
func (d *Detector) Stats() Stats {
	c := &d.counts
	return Stats{
		Calls: c.calls.Load(),
		Failures: Failures{
			Ended:       c.failures[kindEnded].Load(),
			Closed:      c.failures[kindClosed].Load(),
			OutOfMemory: c.failures[kindOutOfMemory].Load(),
			Libtorch:    c.failures[kindLibtorch].Load(),
			Output:      c.failures[kindOutput].Load(),
			Panic:       c.failures[kindPanic].Load(),
			Other:       c.failures[kindOther].Load(),
		},
		Pictures:    c.pictures.Load(),
		Crops:       d.image.Encoded(),
		Phrases:     d.text.Encoded(),
		CacheHits:   c.hits.Load(),
		Halved:      d.image.Halved() + d.text.Halved(),
		Queue:       d.waiting.Load() + int64(d.queue.length()),
		LiveTensors: torch.Live(),
		Timings:     c.timings.load(),
		Text:        time.Duration(c.text.Load()),
		Wait:        time.Duration(c.wait.Load()),
	}
}

// counts are the counters of a Detector.
type counts struct {
	calls, pictures, hits atomic.Int64
	failures              [kinds]atomic.Int64
	timings               timingCounts
	text, wait            atomic.Int64 // nanoseconds
}

// timingCounts are the stages of Timings in nanoseconds.
type timingCounts struct{ upload, rpn, crop, encode, rank, download atomic.Int64 }

func (c *timingCounts) add(t Timings) {
	c.upload.Add(int64(t.Upload))
	c.rpn.Add(int64(t.RPN))
	c.crop.Add(int64(t.Crop))
	c.encode.Add(int64(t.Encode))
	c.rank.Add(int64(t.Rank))
	c.download.Add(int64(t.Download))
}

func (c *timingCounts) load() Timings {
	of := func(n *atomic.Int64) time.Duration { return time.Duration(n.Load()) }
	return Timings{of(&c.upload), of(&c.rpn), of(&c.crop), of(&c.encode), of(&c.rank), of(&c.download)}
}

// kind is that of a failure, a place in counts.failures.
type kind int

const (
	kindEnded kind = iota
	kindClosed
	kindOutOfMemory
	kindLibtorch
	kindOutput
	kindPanic
	kindOther
	kinds
)

func (k kind) String() string {
	return [kinds]string{"ended", "closed", "out of memory", "libtorch", "output", "panic", "other"}[k]
}

func kindOf(ctx context.Context, err error) kind {
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return kindEnded
	case errors.Is(err, ErrClosed):
		return kindClosed
	case errors.Is(err, ErrOutOfMemory):
		return kindOutOfMemory
	case errors.Is(err, torch.ErrLibtorch):
		return kindLibtorch
	case errors.Is(err, ErrOutput), errors.Is(err, rpn.ErrOutput), errors.Is(err, clip.ErrOutput):
		return kindOutput
	case errors.Is(err, ErrPanic):
		return kindPanic
	}
	return kindOther
}

// callEnds counts a call that ends with err, and logs it.
func (d *Detector) callEnds(ctx context.Context, call string, since time.Time, err *error) {
	d.counts.calls.Add(1)
	took := slog.Duration("took", time.Since(since))
	if *err == nil {
		d.options.Logger.DebugContext(ctx, "call ended", "call", call, took)
		return
	}
	kind := kindOf(ctx, *err)
	d.counts.failures[kind].Add(1)
	d.options.Logger.DebugContext(ctx, "call failed", "call", call, took, "kind", kind.String(), "error", *err)
}

// regionsEnd counts and logs a picture whose regions were embedded.
func (d *Detector) regionsEnd(ctx context.Context, r *Regions) {
	d.counts.timings.add(r.timings)
	d.counts.pictures.Add(1)
	t := r.timings
	d.options.Logger.DebugContext(ctx, "regions found", "width", r.width, "height", r.height,
		"proposals", len(r.boxes), "upload", t.Upload, "rpn", t.RPN, "crop", t.Crop, "encode", t.Encode, "halved", d.image.Halved())
}
