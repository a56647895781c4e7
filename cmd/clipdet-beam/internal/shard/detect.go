package shard

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"io"
	"iter"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/store"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/results"
)

// detect writes the lines that clipdet detect --shard i/N writes, into the file name.
func (w *Worker) detect(ctx context.Context, i int, name string) (Outcome, error) {
	paths := each(w.paths, i, w.job.Shards)
	return w.write(ctx, i, name, lines{
		pictures: pictures(ctx, paths), n: len(paths),
		record: func(k int, result *detect.Result, err error) results.Record {
			return results.Of(paths[k], 0, result, err)
		},
	})
}

// each returns each nth of all, from the ith on, from 1.
func each[T any](all []T, i, n int) (part []T) {
	for k := i - 1; k < len(all); k += n {
		part = append(part, all[k])
	}
	return part
}

// lines are what a file has of n pictures.
type lines struct {
	head     any // the first line; nil: none
	pictures iter.Seq2[image.Image, error]
	n        int
	record   func(k int, result *detect.Result, err error) results.Record // of the kth, from 0
}

// write finds the queries in pictures and writes a line of each. The dead letters are there
// before the file.
func (w *Worker) write(ctx context.Context, i int, name string, of lines) (o Outcome, err error) {
	var letters []letter
	err = store.Write(ctx, name, func(out io.Writer) error {
		if of.head != nil {
			if err := json.NewEncoder(out).Encode(of.head); err != nil {
				return err
			}
		}
		lines := results.NewJSONLWriter(out)
		for result, err := range w.detector.DetectAll(ctx, of.pictures, w.queries, w.job.Params) {
			if ctx.Err() != nil || errors.Is(err, detect.ErrDevice) || errors.Is(err, detect.ErrClosed) || o.Pictures == of.n {
				return err
			}
			record := of.record(o.Pictures, result, err)
			o.Pictures++
			unfit := lines.Write(record)
			if errors.Is(unfit, results.ErrRecord) { // this picture failed, not the shard
				err = unfit
				unfit = lines.Write(results.Of(record.Image, record.ID, nil, err))
			}
			if unfit != nil {
				return unfit
			}
			if err != nil {
				o.Failed++
				letters = append(letters, letter{Shard: i, Image: record.Image, Error: err.Error()})
				continue
			}
			for stage, took := range result.Timings {
				o.Times[stage] += took
			}
		}
		if o.Pictures < of.n {
			return errors.Join(ctx.Err(), errors.New("not all pictures are done"))
		}
		return errors.Join(lines.Close(), w.bury(ctx, i, letters))
	})
	return o, err
}
