package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"strings"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/results"
)

// job takes the inputs of one run through to their results, in order.
type job struct {
	inputs   []input
	results  results.Writer
	pictures *pictures // nil: none are drawn
	progress progress
	room     *room // of the decoded pictures

	decoded chan image.Image // of each input, from keep to run
}

// keep passes images on, as there is room, and keeps each until its result comes.
func (j *job) keep(ctx context.Context, images iter.Seq2[image.Image, error]) iter.Seq2[image.Image, error] {
	j.decoded = make(chan image.Image, len(j.inputs)) // never blocks
	return func(yield func(image.Image, error) bool) {
		for picture, err := range images {
			if j.room.take(ctx, picture) != nil {
				return
			}
			j.decoded <- picture
			if !yield(picture, err) {
				return
			}
		}
	}
}

// run writes what comes of the inputs. An input that fails is reported and the rest go on; an interruption ends the
// document after what is done.
func (j *job) run(ctx context.Context, outcomes iter.Seq2[*detect.Result, error]) error {
	ids, names := imageIDs(j.inputs), names(j.inputs)
	done, failed := 0, 0
	if j.pictures != nil {
		defer j.pictures.work.Wait() // however it ends, no half picture is left
	}
	for result, err := range outcomes {
		if done == len(j.inputs) || err != nil && ctx.Err() != nil {
			break
		}
		in := j.inputs[done]
		if err := j.results.Write(results.Of(in.path, ids[done], result, err)); err != nil {
			return &failure{exitInputs, fmt.Errorf("write the results: %w", err)}
		}
		picture := <-j.decoded
		if err != nil {
			failed++
			j.progress.say("%s", naming(in.path, err))
		}
		if err == nil && j.pictures != nil {
			j.pictures.draw(names[done], picture, result, func() { j.room.give(picture) })
		} else {
			j.room.give(picture)
		}
		done++
		j.progress.step()
	}
	j.progress.finish()
	if err := j.results.Close(); err != nil {
		return &failure{exitInputs, fmt.Errorf("write the results: %w", err)}
	}
	if j.pictures != nil {
		if err := j.pictures.wait(); err != nil {
			return &failure{exitInputs, err}
		}
	}
	switch {
	case done < len(j.inputs):
		return &failure{exitInputs, fmt.Errorf("interrupted: %d of %d pictures are done", done, len(j.inputs))}
	case failed == 1 && done == 1:
		return &failure{exitInputs, errors.New("no picture was done")}
	case failed > 0:
		return &failure{exitInputs, fmt.Errorf("%d of %d pictures failed", failed, done)}
	}
	return nil
}

// naming is the error's text with the input's path in it, which may be anything that a file system takes.
func naming(path string, err error) string {
	if text := err.Error(); strings.Contains(text, path) {
		return strings.ReplaceAll(text, path, quotedPath(path))
	}
	return fmt.Sprintf("%s: %v", quotedPath(path), err)
}
