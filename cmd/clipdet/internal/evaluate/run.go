package evaluate

import (
	"context"
	"fmt"
	"image"
	"io"
	"iter"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/analysis"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/results"
)

// run turns pictures into records.
type run struct {
	flags    *Flags
	truth    *truth
	detector *detect.Detector
	queries  *detect.Queries
	plan     settings.Plan
	images   []eval.Image // the images of this shard
	records  *recordFile
	limits   pixels.Limits
	stderr   io.Writer
}

// all processes the pictures that have no record or failed before. A picture that fails
// is reported and recorded. all returns an error only if ctx is done early or a record
// can't be written.
func (e *run) all(ctx context.Context) error {
	var todo []eval.Image
	for _, image := range e.images {
		if record, done := e.records.found[image.FileName]; !done || record.Error != "" {
			todo = append(todo, image)
		}
	}
	inputs := inputsOf(todo, e.flags.images)
	progress := console.NewProgress(e.stderr, "evaluating", len(todo))
	switch done := len(e.images) - len(todo); {
	case done > 0:
		progress.Say("%d of %d pictures are done already", done, len(e.images))
	case e.records.file == nil:
		progress.Say("an interrupted run can't continue: nothing is kept without --records, --json, --results or --html")
	}
	budget := e.plan.Budget(e.flags.pictureFlags.Memory)
	images, decoded := budget.Keep(ctx, fitting(todo, e.limits, intake.DecodeAhead(ctx, inputs, e.limits, intake.Decoders())), len(todo))
	left := console.NewPace(console.DayPace)
	var doubtful []string
	n := 0
	for result, err := range e.detector.DetectAll(ctx, images, e.queries, e.plan.Params) {
		if n == len(todo) || err != nil && ctx.Err() != nil {
			break
		}
		picture := <-decoded
		record, err := e.record(ctx, todo[n], picture, result, err)
		budget.Release(picture)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			progress.Say("%s", console.Naming(todo[n].FileName, err))
		} else if hint := intake.Hint(picture); hint != "" {
			progress.Say("%s: %s", console.QuotedPath(todo[n].FileName), hint)
		}
		if err == nil && e.doubtful(todo[n], picture) {
			doubtful = append(doubtful, todo[n].FileName)
		}
		if err := e.records.add(record); err != nil {
			return err
		}
		if kept := e.records.found[record.Image]; err == nil && kept.Error != "" {
			progress.Say("%s: %s", console.QuotedPath(record.Image), kept.Error)
		}
		n++
		progress.Step()
		left.Tell(progress, n, len(todo))
	}
	progress.Finish()
	if len(doubtful) > 0 {
		progress.Say("%d of the pictures, such as %s, state an orientation and were turned upright, and their size doesn't tell whether the annotations are of the upright picture or of the stored one; if of the stored one, measure with --ignore-exif",
			len(doubtful), console.QuotedPath(doubtful[0]))
	}
	if n < len(todo) {
		hint := "the same command continues from here"
		if e.records.file == nil {
			hint = "nothing of it was kept"
		}
		return exit.Inputs(fmt.Errorf("interrupted: %d of %d pictures are done; %s", len(e.images)-len(todo)+n, len(e.images), hint))
	}
	return nil
}

// turned reports whether a picture isn't as it is stored.
func turned(picture image.Image, limits pixels.Limits) bool {
	m, ok := picture.(*pixels.RGB)
	return ok && m.Orientation > 1 && !limits.AsStored
}

// doubtful reports whether a picture was turned, and its size doesn't tell whether the
// annotations are of the upright picture: the size is the same either way, or it isn't
// annotated.
func (e *run) doubtful(of eval.Image, picture image.Image) bool {
	m, ok := picture.(*pixels.RGB)
	return ok && turned(m, e.limits) && (m.Orientation < 5 || m.Width == m.Height || of.Width == 0 || of.Height == 0)
}

// fitting replaces a picture whose size is not the annotated one by an error. images must
// be in the order of todo.
func fitting(todo []eval.Image, limits pixels.Limits, images iter.Seq2[image.Image, error]) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		n := 0
		for picture, err := range images {
			if err == nil {
				size := picture.Bounds().Size()
				if err = fits(todo[n], size.X, size.Y, turned(picture, limits)); err != nil {
					picture = nil
				}
			}
			n++
			if !yield(picture, err) {
				return
			}
		}
	}
}

// record returns the record of a picture: of result and, with --gt-boxes, of the boxes of
// the ground truth, or of the error. It also returns that error.
func (e *run) record(ctx context.Context, of eval.Image, picture image.Image, result *detect.Result, err error) (results.Record, error) {
	var given []detect.Detection
	if err == nil && e.flags.boxes {
		given, err = e.given(ctx, picture, e.truth.boxes(of.ID))
	}
	if err != nil {
		return results.Of(of.FileName, of.ID, nil, err), err
	}
	record := results.Of(of.FileName, of.ID, result, nil)
	record.Given, record.Presence = given, nil
	for _, p := range result.Proposals {
		record.Boxes = append(record.Boxes, [5]float32{p.Box.X0, p.Box.Y0, p.Box.X1, p.Box.Y1, p.Objectness})
	}
	return record, nil
}

// given detects the queries in boxes that each hold an object. It returns the best
// detections of all boxes that count, and the best analysis.TopClasses of each box. There
// is no suppression and no threshold.
func (e *run) given(ctx context.Context, picture image.Image, boxes []box.Box) ([]detect.Detection, error) {
	if len(boxes) == 0 {
		return nil, nil
	}
	given := detect.WithProposals{Image: picture}
	for _, b := range boxes {
		given.Proposals = append(given.Proposals, detect.Proposal{Box: b, Objectness: 1})
	}
	all, err := e.detector.Detect(ctx, given, e.queries, detect.Params{NMS: 1, Rank: e.plan.Params.Rank, Scores: e.plan.Params.Scores})
	if err != nil {
		return nil, err
	}
	kept := map[box.Box]int{}
	var best []detect.Detection
	for i, d := range all.Detections {
		if kept[d.Box]++; i < e.flags.kept || kept[d.Box] <= analysis.TopClasses {
			best = append(best, d)
		}
	}
	return best, nil
}
