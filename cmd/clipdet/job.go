package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"strings"

	"github.com/clipdet/clipdet/pkg/detect"
)

// job takes the inputs of one run through to their results, in order.
type job struct {
	inputs   []input
	results  resultWriter
	pictures *pictures // nil: none are drawn
	progress progress

	decoded chan image.Image // of each input, from keep to run; nil where no pictures are drawn
}

// keep passes images on and keeps each until its result comes.
func (j *job) keep(images iter.Seq2[image.Image, error]) iter.Seq2[image.Image, error] {
	if j.pictures == nil {
		return images
	}
	j.decoded = make(chan image.Image, len(j.inputs)) // never blocks
	return func(yield func(image.Image, error) bool) {
		for picture, err := range images {
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
	for result, err := range outcomes {
		if done == len(j.inputs) || err != nil && ctx.Err() != nil {
			break
		}
		in := j.inputs[done]
		if err := j.results.write(outcome{in.path, ids[done], result, err}); err != nil {
			return &failure{exitInputs, fmt.Errorf("write the results: %w", err)}
		}
		var picture image.Image
		if j.decoded != nil {
			picture = <-j.decoded
		}
		switch {
		case err != nil:
			failed++
			j.progress.say("%s", naming(in.path, err))
		case j.pictures != nil:
			j.pictures.draw(names[done], picture, result)
		}
		done++
		j.progress.step()
	}
	j.progress.finish()
	if err := j.results.close(); err != nil {
		return &failure{exitInputs, fmt.Errorf("write the results: %w", err)}
	}
	if j.pictures != nil {
		if err := j.pictures.wait(); err != nil {
			return &failure{exitInputs, fmt.Errorf("draw pictures: %w", err)}
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
