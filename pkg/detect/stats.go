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

// Stats counts what a Detector has done since Open. Queue and LiveTensors are the numbers
// of this moment. The others only grow. In JSON durations are milliseconds.
type Stats struct {
	// Calls is the number of calls of Queries, Regions, Match, Detect, Nearest, MatchStored
	// and Check that have ended, and of pictures of DetectAll and RegionsAll that have an
	// answer.
	Calls int64 `json:"calls"`
	// Failures is the number of Calls that ended with an error, by the first kind that
	// fits:
	//
	//   - "ended": the context was cancelled or expired, or the caller left the loop of
	//     DetectAll or RegionsAll before the picture's turn
	//   - "closed": ErrClosed
	//   - "out_of_memory": ErrOutOfMemory
	//   - "libtorch": another error of libtorch
	//   - "output": the output of a model can't be used
	//   - "panic": ErrPanic
	//   - "other": input that can't be used, or an error of the stream
	//
	// The map has all kinds. The caller owns it.
	Failures map[string]int64 `json:"failures"`
	// Pictures is the number of pictures whose boxes were embedded, of which each tile of
	// Params.Tile is one.
	Pictures int64 `json:"pictures"`
	// Crops is the number of crops that the image tower embedded. Boxes of a picture that
	// round to the same pixels share one crop.
	Crops int64 `json:"crops"`
	// Phrases is the number of phrases that the text tower embedded.
	Phrases int64 `json:"phrases"`
	// CacheHits is the number of phrases that came from Options.TextCache or TextMemory.
	CacheHits int64 `json:"cache_hits"`
	// Halved is the number of times that a batch of crops or phrases was halved for lack
	// of memory.
	Halved int64 `json:"halved"`
	// Queue is the number of calls and pictures that wait for the detector now.
	Queue int64 `json:"queue"`
	// LiveTensors is the number of tensors in the process now, of all detectors together.
	LiveTensors int64 `json:"live_tensors"`
	// Device is what the device was given: "operations" of libtorch, where a call of a
	// model is one, "uploads" to it and "downloads" from it, each of which waits for it.
	// On a CPU the copies are those that a GPU would have needed. The map is the
	// caller's.
	Device map[string]int64 `json:"device"`
	// Timings are the sums of the stages of all pictures and matches that succeeded.
	Timings Timings `json:"timings_ms"`
	// Text is the time that Queries took to tokenise, look up and embed, without the wait
	// for the detector. On a GPU it is exact only with Options.Synchronize.
	Text time.Duration `json:"-"` // "text_ms"
	// Wait is the total time that calls have waited for the detector.
	Wait time.Duration `json:"-"` // "wait_ms"
}

// MarshalJSON returns all fields, with Text and Wait as text_ms and wait_ms.
func (s Stats) MarshalJSON() ([]byte, error) {
	type plain Stats
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.Marshal(struct {
		plain
		Text float64 `json:"text_ms"`
		Wait float64 `json:"wait_ms"`
	}{plain(s), ms(s.Text), ms(s.Wait)})
}

// Stats returns the counters. It doesn't wait, may be called at any time and after Close,
// and suits expvar.Func. A call that is running may be in some of the counters already.
func (d *Detector) Stats() Stats {
	c := &d.counts
	failures := make(map[string]int64, kinds)
	for k := range kinds {
		failures[k.String()] = c.failures[k].Load()
	}
	work := d.engine.Work()
	return Stats{
		Device:      map[string]int64{"operations": work.Operations, "uploads": work.Uploads, "downloads": work.Downloads},
		Calls:       c.calls.Load(),
		Failures:    failures,
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

// counts holds the counters of a Detector.
type counts struct {
	calls, pictures, hits atomic.Int64
	failures              [kinds]atomic.Int64
	timings               timingCounts
	text, wait            atomic.Int64 // nanoseconds
}

// timingCounts are sums of Timings, in nanoseconds.
type timingCounts [len(stageNames)]atomic.Int64

func (c *timingCounts) add(t Timings) {
	for stage, took := range t {
		c[stage].Add(int64(took))
	}
}

func (c *timingCounts) load() (t Timings) {
	for stage := range t {
		t[stage] = time.Duration(c[stage].Load())
	}
	return t
}

// kind is the kind of a failure and its place in counts.failures.
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
	return [kinds]string{"ended", "closed", "out_of_memory", "libtorch", "output", "panic", "other"}[k]
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

// callEnds counts and logs a call that ends with err.
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

// regionsEnd counts and logs a picture whose boxes are embedded.
func (d *Detector) regionsEnd(ctx context.Context, r *Regions) {
	d.counts.timings.add(r.timings)
	d.counts.pictures.Add(1)
	about := []any{"width", r.width, "height", r.height, "proposals", len(r.boxes), "halved", d.image.Halved()}
	for stage, took := range r.timings {
		about = append(about, Stage(stage).String(), took)
	}
	d.options.Logger.DebugContext(ctx, "regions found", about...)
}
