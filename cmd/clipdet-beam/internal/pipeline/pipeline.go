// Package pipeline hands the shards of a job to the workers of an engine, by Apache Beam.
package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/shard"
	"github.com/clipdet/clipdet/pkg/detect"
)

func init() {
	register.DoFn2x0[[]byte, func(int)](&numbersFn{})
	register.DoFn2x1[context.Context, int, error](&shardFn{})
	register.Emitter1[int]()
}

// New returns the pipeline of a job: the shards' numbers, handed out anew, and the work on
// each. It has no output of its own, since the workers write each shard's files.
func New(job shard.Job) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	numbers := beam.ParDo(s, &numbersFn{job.Shards}, beam.Impulse(s))
	beam.ParDo0(s, &shardFn{job}, beam.Reshuffle(s, numbers))
	return p
}

// numbersFn emits the numbers from 1 to Shards.
type numbersFn struct{ Shards int }

// ProcessElement emits the numbers for the one element that there is.
func (f *numbersFn) ProcessElement(_ []byte, emit func(int)) {
	for i := range f.Shards {
		emit(i + 1)
	}
}

// The metrics of a job, which the engine adds up. Engines count what was done after their
// last restart alone, and Prism loses some; Job.Report has all.
const namespace = "clipdet"

var (
	pictures = beam.NewCounter(namespace, "pictures")
	failed   = beam.NewCounter(namespace, "failed_pictures")
	done     = beam.NewCounter(namespace, "shards_done")
	skipped  = beam.NewCounter(namespace, "shards_skipped") // they were there already
	dead     = beam.NewCounter(namespace, "shards_dead")    // they failed in all tries
	stages   [len(detect.Timings{})]beam.Counter            // microseconds
)

func init() {
	for i := range stages {
		stages[i] = beam.NewCounter(namespace, "us_"+detect.Stage(i).String())
	}
}

// shardFn does shards.
type shardFn struct{ Job shard.Job }

// ProcessElement does the ith shard, with the worker that all instances in this process
// share.
func (f *shardFn) ProcessElement(ctx context.Context, i int) error {
	worker, err := workerOf(ctx, f.Job)
	if err != nil {
		return fmt.Errorf("open the models: %w", err)
	}
	log.Infof(ctx, "shard %d of %d: begun", i, f.Job.Shards)
	o, err := worker.Do(ctx, i)
	switch {
	case err != nil:
		return err
	case o.Skipped:
		skipped.Inc(ctx, 1)
		log.Infof(ctx, "shard %d of %d: there already", i, f.Job.Shards)
	case o.Dead != nil:
		dead.Inc(ctx, 1)
		log.Errorf(ctx, "shard %d of %d: in the dead letters: %v", i, f.Job.Shards, o.Dead)
	default:
		done.Inc(ctx, 1)
		pictures.Inc(ctx, int64(o.Pictures))
		failed.Inc(ctx, int64(o.Failed))
		for stage, took := range o.Times {
			stages[stage].Inc(ctx, took.Microseconds())
		}
		log.Infof(ctx, "shard %d of %d: done, %d pictures, %d failed", i, f.Job.Shards, o.Pictures, o.Failed)
	}
	return nil
}

// workers has a function that opens the worker of a job once, by the job's JSON. A process
// on a cluster has one job. The worker stays open until the process ends, since engines
// need not call Teardown.
var workers sync.Map

func workerOf(ctx context.Context, job shard.Job) (*shard.Worker, error) {
	key, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // the worker outlives this element
	open, _ := workers.LoadOrStore(string(key), sync.OnceValues(func() (*shard.Worker, error) { return shard.Open(ctx, job) }))
	worker, err := open.(func() (*shard.Worker, error))()
	if err != nil {
		workers.Delete(string(key)) // so that the engine's next try may succeed
	}
	return worker, err
}
