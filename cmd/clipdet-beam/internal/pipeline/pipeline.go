// Package pipeline hands the shards of a job to the workers of an engine, by Apache Beam.
package pipeline

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/shard"
	"github.com/clipdet/clipdet/pkg/detect"
)

func init() {
	register.DoFn2x0[[]byte, func(int)](&numbersFn{})
	register.DoFn3x1[context.Context, int, func(counts), error](&shardFn{})
	register.DoFn2x0[context.Context, counts](&countFn{})
	register.Emitter1[int]()
	register.Emitter1[counts]()
}

// New returns the pipeline of a job: the shards' numbers, handed out anew, the work on
// each, and the metrics. It has no output of its own, since the workers write each shard's
// files.
//
// The counts are handed on, and aren't added where the work is, since Prism 2.77 keeps a
// processor busy with waiting while a step without an output is at work.
func New(job shard.Job) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	numbers := beam.ParDo(s, &numbersFn{job.Shards}, beam.Impulse(s))
	counted := beam.ParDo(s, &shardFn{job}, beam.Reshuffle(s, numbers))
	beam.ParDo0(s, &countFn{}, beam.Reshuffle(s, counted))
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

// counts are what a shard adds to the metrics.
type counts struct {
	Done, Skipped, Dead, Pictures, Failed int64
	// Times are of each stage, microseconds; 0 for a shard that wasn't done. It is never nil:
	// Go's coder writes nil as a null, and Flink's part of Beam, which is Java, then reads
	// another row than was written.
	Times []int64
}

// countFn adds counts to the metrics.
type countFn struct{}

// ProcessElement adds the counts of one shard.
func (f *countFn) ProcessElement(ctx context.Context, of counts) {
	done.Inc(ctx, of.Done)
	skipped.Inc(ctx, of.Skipped)
	dead.Inc(ctx, of.Dead)
	pictures.Inc(ctx, of.Pictures)
	failed.Inc(ctx, of.Failed)
	for stage, took := range of.Times {
		stages[stage].Inc(ctx, took)
	}
}

// shardFn does shards.
type shardFn struct{ Job shard.Job }

// ProcessElement does the ith shard, with the worker that all instances in this process
// share.
func (f *shardFn) ProcessElement(ctx context.Context, i int, emit func(counts)) error {
	worker, err := workerOf(ctx, f.Job)
	if err != nil {
		return err
	}
	log.Infof(ctx, "shard %d of %d: begun", i, f.Job.Shards)
	o, err := worker.Do(ctx, i)
	of := counts{Times: make([]int64, len(stages))}
	switch {
	case err != nil:
		return err
	case o.Skipped:
		of.Skipped = 1
		log.Infof(ctx, "shard %d of %d: there already", i, f.Job.Shards)
	case o.Dead != nil:
		of.Dead = 1
		log.Errorf(ctx, "shard %d of %d: in the dead letters: %v", i, f.Job.Shards, o.Dead)
	default:
		of.Done, of.Pictures, of.Failed = 1, int64(o.Pictures), int64(o.Failed)
		for stage, took := range o.Times {
			of.Times[stage] = took.Microseconds()
		}
		log.Infof(ctx, "shard %d of %d: done, %d pictures, %d failed", i, f.Job.Shards, o.Pictures, o.Failed)
	}
	emit(of)
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
