package main

import (
	"context"
	"fmt"
	"image"
	"io"
	"iter"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/results"
)

// evalRun takes pictures to their records.
type evalRun struct {
	flags    *evalFlags
	truth    *truth
	detector *detect.Detector
	queries  *detect.Queries
	plan     plan
	images   []eval.Image // of this shard
	records  *evalRecords
	limits   pixels.Limits
	stderr   io.Writer
}

// all does the pictures without a record, and again those that failed.
func (e *evalRun) all(ctx context.Context) error {
	var todo []eval.Image
	var inputs []input
	find := finder{dir: e.flags.images}
	for _, image := range e.images {
		if record, done := e.records.found[image.FileName]; !done || record.Error != "" {
			path, err := find.find(image.FileName)
			todo, inputs = append(todo, image), append(inputs, input{path, err})
		}
	}
	progress := newProgress(e.stderr, "evaluating", len(todo))
	switch done := len(e.images) - len(todo); {
	case done > 0:
		progress.say("%d of %d pictures are done already", done, len(e.images))
	case e.records.file == nil:
		progress.say("an interrupted run can't go on: nothing is kept without --records, --json, --results or --html")
	}
	room := e.plan.room(e.flags.shown.memory)
	stream := job{inputs: inputs, room: room}
	images := stream.keep(ctx, fitting(todo, decodeAhead(ctx, inputs, e.limits, decoders())))
	left := newPace()
	n := 0
	for result, err := range e.detector.DetectAll(ctx, images, e.queries, e.plan.params) {
		if n == len(todo) || err != nil && ctx.Err() != nil {
			break
		}
		picture := <-stream.decoded
		record, err := e.record(ctx, todo[n], picture, result, err)
		room.give(picture)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			progress.say("%s", naming(todo[n].FileName, err))
		}
		if err := e.records.add(record); err != nil {
			return err
		}
		if kept := e.records.found[record.Image]; err == nil && kept.Error != "" {
			progress.say("%s: %s", quotedPath(record.Image), kept.Error)
		}
		n++
		progress.step()
		left.tell(progress, n, len(todo))
	}
	progress.finish()
	if n < len(todo) {
		hint := "the same command goes on from here"
		if e.records.file == nil {
			hint = "nothing of it was kept"
		}
		return &failure{exitInputs, fmt.Errorf("interrupted: %d of %d pictures are done; %s", len(e.images)-len(todo)+n, len(e.images), hint)}
	}
	return nil
}

// fitting refuses pictures of another size than the annotated one.
func fitting(todo []eval.Image, images iter.Seq2[image.Image, error]) iter.Seq2[image.Image, error] {
	return func(yield func(image.Image, error) bool) {
		n := 0
		for picture, err := range images {
			if err == nil {
				size := picture.Bounds().Size()
				if err = fits(todo[n], size.X, size.Y); err != nil {
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

// record is that of a picture: of what was found in it and, with --gt-boxes, at its ground truth, or of what went wrong,
// which it gives too.
func (e *evalRun) record(ctx context.Context, of eval.Image, picture image.Image, result *detect.Result, err error) (results.Record, error) {
	var given []detect.Detection
	if err == nil && e.flags.boxes {
		given, err = e.given(ctx, picture, e.truth.boxes(of.ID))
	}
	if err != nil {
		return results.Of(of.FileName, of.ID, nil, err), err
	}
	record := results.Of(of.FileName, of.ID, result, nil)
	record.Detections = record.Detections[:min(len(record.Detections), e.flags.kept)]
	record.Given, record.Presence = given, nil
	for _, p := range result.Proposals {
		record.Boxes = append(record.Boxes, [5]float32{p.Box.X0, p.Box.Y0, p.Box.X1, p.Box.Y1, p.Objectness})
	}
	return record, nil
}

// topClasses are kept of each box of the ground truth, whatever their scores.
const topClasses = 5

// given asks all queries of boxes that hold an object each: what counts of all, and the best of each box. None suppresses
// another, and none is too low.
func (e *evalRun) given(ctx context.Context, picture image.Image, boxes []box.Box) ([]detect.Detection, error) {
	if len(boxes) == 0 {
		return nil, nil
	}
	given := detect.WithProposals{Image: picture}
	for _, b := range boxes {
		given.Proposals = append(given.Proposals, detect.Proposal{Box: b, Objectness: 1})
	}
	all, err := e.detector.Detect(ctx, given, e.queries, detect.Params{NMS: 1, Rank: e.plan.params.Rank})
	if err != nil {
		return nil, err
	}
	kept := map[box.Box]int{}
	var best []detect.Detection
	for i, d := range all.Detections {
		if kept[d.Box]++; i < e.flags.kept || kept[d.Box] <= topClasses {
			best = append(best, d)
		}
	}
	return best, nil
}

// pace says, where no bar does, how long a run still takes.
type pace struct{ since, said time.Time }

func newPace() pace { return pace{time.Now(), time.Now()} }

// paceEvery is how often: a log of a day's run has some 1,000 lines of it.
const paceEvery = 90 * time.Second

func (p *pace) tell(to progress, done, of int) {
	if to.bar != nil || time.Since(p.said) < paceEvery || done == of {
		return
	}
	p.said = time.Now()
	left := time.Since(p.since) / time.Duration(done) * time.Duration(of-done)
	to.say("%d of %d pictures, %v left", done, of, left.Round(time.Second))
}
