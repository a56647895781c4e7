// Package outcome writes the outcome of each input: a record in the requested format, and
// the drawn pictures.
package outcome

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"time"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/results"
)

// Job is the inputs of one run and where their outcomes are written.
type Job struct {
	Inputs   []intake.Input
	Results  results.Writer
	Pictures *Pictures // nil: none are drawn
	Progress console.Progress
	Budget   *intake.Budget     // holds the decoded pictures
	Decoded  <-chan image.Image // each input's picture, from Budget.Keep
	// Names are of the inputs' drawings; nil: intake.Names.
	Names []string
	// Images are the data set's image of each input; nil: it is numbered.
	Images []eval.Image
	// Together is set if a record must not be there before its drawings are.
	Together bool
	// Partial is called if Run ends without a record of each input. It may be nil.
	Partial func()
}

// paceEvery is the time between two reports of the progress where stderr has no bar.
const paceEvery = 10 * time.Second

// Run writes the outcomes, which must be in the order of Inputs. An input that fails is
// reported, and the others are still processed. If outcomes ends early or ctx is done,
// Run completes the document after the last outcome. It returns an error if an input
// failed or is not done.
func (j *Job) Run(ctx context.Context, outcomes iter.Seq2[*detect.Result, error]) error {
	names, images := j.Names, j.Images
	if names == nil {
		names = intake.Names(j.Inputs)
	}
	if images == nil {
		for _, id := range intake.ImageIDs(j.Inputs) {
			images = append(images, eval.Image{ID: id})
		}
	}
	left := console.NewPace(paceEvery)
	done, failed := 0, 0
	defer func() {
		if done < len(j.Inputs) && j.Partial != nil {
			j.Partial()
		}
	}()
	if j.Pictures != nil {
		defer j.Pictures.work.Wait() // leave no half-drawn picture
	}
	for result, err := range outcomes {
		if done == len(j.Inputs) || err != nil && ctx.Err() != nil {
			break
		}
		in := j.Inputs[done]
		picture := <-j.Decoded
		drawn := false
		if err == nil {
			err = fits(images[done], result)
		}
		if err == nil && j.Pictures != nil && j.Together {
			if err := j.Pictures.DrawNow(names[done], picture, result); err != nil {
				return exit.Inputs(err)
			}
			drawn = true
		}
		record := results.Of(in.Path, images[done].ID, result, err)
		record.FileName = images[done].FileName
		unfit := j.Results.Write(record)
		if errors.Is(unfit, results.ErrRecord) { // this picture failed, not the run
			err = unfit
			unfit = j.Results.Write(results.Of(in.Path, images[done].ID, nil, err))
		}
		if unfit != nil {
			return exit.Inputs(fmt.Errorf("write the results: %w", unfit))
		}
		if err != nil {
			failed++
			j.Progress.Say("%s", console.Naming(in.Path, err))
		} else if hint := intake.Hint(picture); hint != "" {
			j.Progress.Say("%s: %s", console.QuotedPath(in.Path), hint)
		}
		if err == nil && result.Tiles > 0 {
			j.Progress.Say("%s: %d x %d pixels, done in %d tiles too", console.QuotedPath(in.Path), result.Width, result.Height, result.Tiles)
		}
		if err == nil && j.Pictures != nil && !drawn {
			j.Pictures.draw(names[done], picture, result, func() { j.Budget.Release(picture) })
		} else {
			j.Budget.Release(picture)
		}
		done++
		j.Progress.Step()
		left.Tell(j.Progress, done, len(j.Inputs))
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

// fits returns an error if a picture doesn't have the size that a data set states of it,
// because its boxes would be in other places there.
func fits(image eval.Image, result *detect.Result) error {
	if image.CheckSize(result.Width, result.Height) != nil { // whose text is of an evaluation
		return fmt.Errorf("it is %d x %d pixels, and the data set's image %d is %d x %d; of a turned picture, --ignore-exif takes the stored pixels",
			result.Width, result.Height, image.ID, image.Width, image.Height)
	}
	return nil
}
