package shard

import (
	"context"
	"errors"
	"io"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/store"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/results"
)

// detect writes the lines that clipdet detect --shard i/N writes, into the file name. The
// dead letters are there before it.
func (w *Worker) detect(ctx context.Context, i int, name string) (o Outcome, err error) {
	var paths []string
	for k := i - 1; k < len(w.paths); k += w.job.Shards {
		paths = append(paths, w.paths[k])
	}
	var letters []letter
	err = store.Write(ctx, name, func(out io.Writer) error {
		lines := results.NewJSONLWriter(out)
		for result, err := range w.detector.DetectAll(ctx, pictures(ctx, paths), w.queries, w.job.Params) {
			if ctx.Err() != nil || errors.Is(err, detect.ErrDevice) || errors.Is(err, detect.ErrClosed) || o.Pictures == len(paths) {
				return err
			}
			path := paths[o.Pictures]
			o.Pictures++
			unfit := lines.Write(results.Of(path, 0, result, err))
			if errors.Is(unfit, results.ErrRecord) { // this picture failed, not the shard
				err = unfit
				unfit = lines.Write(results.Of(path, 0, nil, err))
			}
			if unfit != nil {
				return unfit
			}
			if err != nil {
				o.Failed++
				letters = append(letters, letter{Shard: i, Image: path, Error: err.Error()})
				continue
			}
			for stage, took := range result.Timings {
				o.Times[stage] += took
			}
		}
		if o.Pictures < len(paths) {
			return errors.Join(ctx.Err(), errors.New("not all pictures are done"))
		}
		return errors.Join(lines.Close(), w.bury(ctx, i, letters))
	})
	return o, err
}
