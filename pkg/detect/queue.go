package detect

import (
	"context"
	"image"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/crop"
	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// task is a caller's picture on its way through the engine.
type task struct {
	ctx      context.Context
	picture  *pixels.RGB // the caller's: it isn't read after the caller has left
	given    []Proposal  // the caller's boxes, if own is set
	own      bool
	matching *matching // nil: the caller wants the regions alone
	asked    *matching // of the caller, if there are tiles; matching is then of each part
	tiles    []image.Rectangle
	since    time.Time // when it was submitted

	mu      sync.Mutex   // is held while the picture is read
	left    bool         // the caller has left: nobody takes the outcome
	outcome chan outcome // holds one

	progress
	delivered bool
}

// progress is how far a task is. It belongs to the engine's thread.
type progress struct {
	uploaded   torch.Tensor // uint8 [1,3,H,W]
	found      rpn.Found    // the proposals, or the caller's boxes, on the device
	unread     bool         // they are known to the device alone
	boxes      []box.Box    // [K,4], unless they are unread
	objectness []float32    // [K], likewise
	views      [][]int64    // [V][K]: for each of Options.Crops, the rows of the boxes in embedded
	pending    int          // the number of rectangles that are not embedded yet
	embedded   []torch.Tensor
	timings    Timings
}

// outcome is what the engine makes of a task. The receiver closes the regions.
type outcome struct {
	regions *Regions
	top     ranking // if there is a matching
	err     error
}

func newTask(ctx context.Context, picture *pixels.RGB) *task {
	return &task{ctx: ctx, picture: picture, since: time.Now(), outcome: make(chan outcome, 1)}
}

// canceled reports whether the caller's context has canceled.
func (t *task) canceled() bool { return t.ctx.Err() != nil }

// upload copies the picture to the device. It reports false if the caller has left.
func (t *task) upload(s *torch.Scope) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.left {
		t.uploaded = crop.Upload(s, t.picture)
	}
	return !t.left
}

// deliver hands the outcome to the caller.
func (t *task) deliver(o outcome) {
	t.delivered = true
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left {
		o.regions.Close()
		return
	}
	t.outcome <- o
}

// wait returns the task's outcome, or the cause of its context's end at once.
func (t *task) wait(q *queue) outcome {
	select {
	case o := <-t.outcome:
		return o
	case <-t.ctx.Done():
	}
	q.remove(t)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left = true
	select {
	case o := <-t.outcome: // it came at the same time
		o.regions.Close()
	default:
	}
	return outcome{err: context.Cause(t.ctx)}
}

// queue holds the tasks that wait for the engine, in the order of their arrival.
type queue struct {
	mu      sync.Mutex
	arrived sync.Cond
	tasks   []*task
	closed  bool
}

func newQueue() *queue {
	q := &queue{}
	q.arrived.L = &q.mu
	return q
}

// add lets a task wait, or delivers ErrClosed.
func (q *queue) add(t *task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		t.deliver(outcome{err: torch.ErrEngine})
		return
	}
	q.tasks = append(q.tasks, t)
	q.arrived.Signal()
}

// remove takes a task out, if it still waits.
func (q *queue) remove(t *task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.tasks, t); i >= 0 {
		q.tasks = slices.Delete(q.tasks, i, i+1)
	}
}

// wait waits for a task. It reports false after close.
func (q *queue) wait() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.tasks) == 0 && !q.closed {
		q.arrived.Wait()
	}
	return !q.closed
}

// take returns the tasks that wait, at most so many.
func (q *queue) take(most int) []*task {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch := slices.Clone(q.tasks[:min(most, len(q.tasks))])
	q.tasks = slices.Delete(q.tasks, 0, len(batch)) // which lets go of their pictures
	return batch
}

// close delivers ErrClosed to the tasks that wait and to those that come.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, t := range q.tasks {
		t.deliver(outcome{err: torch.ErrEngine})
	}
	q.tasks = nil
	q.arrived.Broadcast()
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.tasks)
}

// serve takes what waits through the engine, until the queue is closed. What a batch
// leaves with a GPU is read after the next batch is issued, if one waits, so that the GPU
// always has work.
func (d *Detector) serve() {
	defer close(d.served)
	var before issued
	for len(before.batch) > 0 || d.queue.wait() {
		next := d.issue()
		d.conclude(before)
		before = next
	}
}

// issued is a batch of tasks after process.
type issued struct {
	batch []*task
	last  []scored // whose numbers are on the device
	err   error    // of the tasks that are not delivered
}

// issue takes the tasks that wait when the engine is free, so that a batch is as large as
// can be, and processes them.
func (d *Detector) issue() (made issued) {
	if d.queue.length() == 0 {
		return issued{}
	}
	made.err = d.engine.Do(context.Background(), func(s *torch.Scope) (err error) {
		made.batch = d.queue.take(d.options.ImageBatch)
		made.last, err = d.processUntil(s, made.batch)
		return err
	})
	return made
}

// conclude delivers what is left of a batch.
func (d *Detector) conclude(made issued) {
	alone := len(made.batch) == 1
	if err := d.finishLater(made.last, alone); err != nil {
		made.err = err
	}
	for _, t := range made.batch {
		// Each alone that is not done, so that no picture fails for another's fault.
		if !alone && !t.delivered && !t.canceled() {
			t.progress = progress{}
			var last []scored
			made.err = d.engine.Do(context.Background(), func(s *torch.Scope) (err error) {
				last, err = d.processUntil(s, []*task{t})
				return err
			})
			if err := d.finishLater(last, true); err != nil {
				made.err = err
			}
		}
		switch {
		case t.delivered:
		case t.canceled():
			t.deliver(outcome{err: context.Cause(t.ctx)})
		default:
			t.deliver(outcome{err: publicError(made.err)})
		}
	}
}

// finishLater is finish after the work that scored the tasks.
func (d *Detector) finishLater(last []scored, alone bool) error {
	if len(last) == 0 {
		return nil
	}
	defer closeAll(last)
	return d.engine.Do(context.Background(), func(s *torch.Scope) error {
		d.finish(s, last, alone)
		return s.Err()
	})
}

// processUntil is process until nobody waits for any of the tasks.
func (d *Detector) processUntil(s *torch.Scope, batch []*task) ([]scored, error) {
	for _, t := range batch {
		d.counts.wait.Add(int64(time.Since(t.since)))
	}
	ctx, release := together(batch)
	defer release()
	s.Until(ctx)
	return d.process(s, batch)
}

// together returns a context that ends when all of the tasks' contexts have ended.
func together(batch []*task) (ctx context.Context, release func()) {
	switch len(batch) {
	case 0:
		return context.Background(), func() {}
	case 1:
		return batch[0].ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	var running atomic.Int64
	running.Store(int64(len(batch)))
	stops := make([]func() bool, len(batch))
	for i, t := range batch {
		stops[i] = context.AfterFunc(t.ctx, func() {
			if running.Add(-1) == 0 {
				cancel(context.Cause(t.ctx))
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}
