package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/store"
)

// file returns the file whose presence says that a shard is done.
func (job *Job) file(i int) string {
	if job.Mode == Index {
		return store.Join(job.Out, fmt.Sprintf("part-%05d.json", i))
	}
	return store.Join(job.Out, fmt.Sprintf("shard-%05d.jsonl", i))
}

// letters returns the file of a shard's dead letters.
func (job *Job) letters(i int) string {
	return store.Join(job.Dead, fmt.Sprintf("shard-%05d.jsonl", i))
}

// Report is what a job has left, now or in earlier runs.
type Report struct {
	Done    int // shards
	Letters int // dead ones: of pictures, and of shards
}

const (
	mostLettersBytes = 1 << 30
	looks            = 32 // at once, since a store may be far away
)

// Report looks at the files of all shards. It doesn't count by metrics, since engines
// count what was done after their last restart alone.
func (job *Job) Report(ctx context.Context) (Report, error) {
	var done, letters atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looks)
	for i := range job.Shards {
		group.Go(func() error {
			// What can't be looked for, as when a folder has the name, isn't done.
			if there, err := store.Exists(ctx, job.file(i+1)); there && err == nil {
				done.Add(1)
			}
			data, err := store.Read(ctx, job.letters(i+1), mostLettersBytes)
			letters.Add(int64(bytes.Count(data, []byte("\n"))))
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	return Report{int(done.Load()), int(letters.Load())}, err
}
