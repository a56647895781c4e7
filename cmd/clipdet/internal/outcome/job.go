// Package outcome takes what comes of each input to its results: a record in the format that was
// asked for, and the drawn pictures.
package outcome

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/results"
)

// Job takes the inputs of one run through to their results, in order.
type Job struct {
	Inputs   []intake.Input
	Results  results.Writer
	Pictures *Pictures // nil: none are drawn
	Progress console.Progress
	Budget   *intake.Budget     // of the decoded pictures
	Decoded  <-chan image.Image // of each input, as Budget.Keep gives them
}

// Run writes what comes of the inputs. An input that fails is reported and the rest go on; an interruption ends the
// document after what is done.
func (j *Job) Run(ctx context.Context, outcomes iter.Seq2[*detect.Result, error]) error {
	ids, names := intake.ImageIDs(j.Inputs), intake.Names(j.Inputs)
	done, failed := 0, 0
	if j.Pictures != nil {
		defer j.Pictures.work.Wait() // however it ends, no half picture is left
	}
	for result, err := range outcomes {
		if done == len(j.Inputs) || err != nil && ctx.Err() != nil {
			break
		}
		in := j.Inputs[done]
		picture := <-j.Decoded
		unfit := j.Results.Write(results.Of(in.Path, ids[done], result, err))
		if errors.Is(unfit, results.ErrRecord) { // the picture's failure, not the run's
			err = unfit
			unfit = j.Results.Write(results.Of(in.Path, ids[done], nil, err))
		}
		if unfit != nil {
			return exit.Inputs(fmt.Errorf("write the results: %w", unfit))
		}
		if err != nil {
			failed++
			j.Progress.Say("%s", console.Naming(in.Path, err))
		}
		if err == nil && j.Pictures != nil {
			j.Pictures.draw(names[done], picture, result, func() { j.Budget.Release(picture) })
		} else {
			j.Budget.Release(picture)
		}
		done++
		j.Progress.Step()
	}
	j.Progress.Finish()
	if err := j.Results.Close(); err != nil {
		return exit.Inputs(fmt.Errorf("write the results: %w", err))
	}
	if j.Pictures != nil {
		if err := j.Pictures.wait(); err != nil {
			return exit.Inputs(err)
		}
	}
	switch {
	case done < len(j.Inputs):
		return exit.Inputs(fmt.Errorf("interrupted: %d of %d pictures are done", done, len(j.Inputs)))
	case failed == 1 && done == 1:
		return exit.Inputs(errors.New("no picture was done"))
	case failed > 0:
		return exit.Inputs(fmt.Errorf("%d of %d pictures failed", failed, done))
	}
	return nil
}
