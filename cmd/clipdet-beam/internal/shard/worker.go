package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/store"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/model/builtin"
)

// Worker does shards of one Job with one Detector. It is safe for concurrent use.
type Worker struct {
	job      Job
	paths    []string     // of an evaluation none
	images   []eval.Image // of an evaluation
	detector *detect.Detector
	queries  *detect.Queries   // nil: an index has none
	made     map[string]string // what an evaluation's records depend on

	mu    sync.Mutex
	doing map[int]chan struct{} // the shards in hand; closed when one is let go
}

// Open reads the job's list or annotations, loads the models and embeds the queries. It
// fails if the results in job.Out are made with something else. The caller closes the
// Worker.
func Open(ctx context.Context, job Job) (_ *Worker, err error) {
	w := &Worker{job: job}
	asked, err := w.read(ctx)
	if err != nil {
		return nil, err
	}
	if w.detector, err = detect.Open(ctx, job.options()); err != nil {
		return nil, fmt.Errorf("open the models: %w", err)
	}
	defer func() {
		if err != nil {
			_ = w.detector.Close() // err says what is wrong
		}
	}()
	if job.Mode != Index {
		if w.queries, err = w.detector.Queries(ctx, asked...); err != nil {
			return nil, err
		}
	}
	if job.Mode == Eval {
		w.made = w.job.madeWith(w.detector.Info())
	}
	return w, w.job.same(ctx, w.detector.Info(), len(w.paths)+len(w.images), w.made)
}

// read reads what the pictures are, and returns what is asked.
func (w *Worker) read(ctx context.Context) (asked []detect.Query, err error) {
	if w.job.Mode == Eval {
		return w.readEval(ctx)
	}
	var listed string
	if w.paths, listed, err = ReadList(ctx, w.job.List); err != nil {
		return nil, err
	}
	if listed != w.job.Listed {
		return nil, fmt.Errorf("the list: %s isn't the list that the job was started with", w.job.List)
	}
	return w.job.queries(ctx)
}

// Close frees the models.
func (w *Worker) Close() error { return w.detector.Close() }

func (job *Job) options() detect.Options {
	o := detect.Options{Models: builtin.Models(), Device: job.Device, DType: job.DType, Proposals: job.Proposals, Threads: job.Threads}
	switch {
	case filepath.Ext(job.Models) == ".json":
		o.Models = model.Locked(job.Models, "")
	case job.Models != "":
		o.Models = model.Dir(job.Models)
	}
	return o
}

// Outcome is what became of a shard.
type Outcome struct {
	Skipped  bool  // it was there already
	Dead     error // of the last try, if all failed
	Pictures int   // that were done
	Failed   int   // of the pictures
	Times    detect.Timings
}

// Do does the ith shard, from 1, unless it is there already. If another call in this process
// has it in hand, Do waits for that one first: an engine that starts anew in the same process
// doesn't end what it had begun. A picture that fails is in
// the results and the dead letters with its error. A shard that fails in all tries is in
// the dead letters. Do returns an error only if ctx is done, the Detector is of no use, or
// the dead letters can't be written.
func (w *Worker) Do(ctx context.Context, i int) (o Outcome, err error) {
	if err := w.take(ctx, i); err != nil {
		return o, err
	}
	defer w.letGo(i)
	for try := range max(w.job.Tries, 1) {
		if try > 0 {
			select {
			case <-time.After(time.Second << min(try-1, 5)):
			case <-ctx.Done():
			}
		}
		if o, err = w.try(ctx, i); err == nil {
			return o, nil
		}
		if ctx.Err() != nil || errors.Is(err, detect.ErrDevice) || errors.Is(err, detect.ErrClosed) {
			return o, fmt.Errorf("shard %d: %w", i, err)
		}
	}
	if unsaid := w.bury(ctx, i, []letter{{Shard: i, Error: err.Error()}}); unsaid != nil {
		return o, fmt.Errorf("shard %d: %w; and the dead letter of it: %w", i, err, unsaid)
	}
	return Outcome{Dead: err}, nil
}

// take takes a shard in hand, when nobody else has it.
func (w *Worker) take(ctx context.Context, i int) error {
	for {
		w.mu.Lock()
		other := w.doing[i]
		if other == nil {
			if w.doing == nil {
				w.doing = map[int]chan struct{}{}
			}
			w.doing[i] = make(chan struct{})
		}
		w.mu.Unlock()
		if other == nil {
			return nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *Worker) letGo(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.doing[i])
	delete(w.doing, i)
}

func (w *Worker) try(ctx context.Context, i int) (Outcome, error) {
	name, do := w.job.file(i), w.detect
	switch w.job.Mode {
	case Index:
		do = w.index
	case Eval:
		do = w.evaluate
	}
	if there, err := store.Exists(ctx, name); there || err != nil {
		return Outcome{Skipped: there}, err
	}
	return do(ctx, i, name)
}

// letter is a line of the dead letters: of a picture that failed, or of a shard.
type letter struct {
	Shard int    `json:"shard"`
	Image string `json:"image,omitempty"`
	Error string `json:"error"`
}

// bury writes the dead letters of a shard. Without any it leaves no file, or empties the
// file of an earlier try.
func (w *Worker) bury(ctx context.Context, i int, letters []letter) error {
	name := w.job.letters(i)
	if len(letters) == 0 {
		if there, err := store.Exists(ctx, name); !there || err != nil {
			return err
		}
	}
	return store.Write(ctx, name, func(out io.Writer) error {
		lines := json.NewEncoder(out)
		for _, letter := range letters {
			if err := lines.Encode(letter); err != nil {
				return err
			}
		}
		return nil
	})
}
