package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
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
		picture := <-j.decoded
		unfit := j.results.Write(results.Of(in.path, ids[done], result, err))
		if errors.Is(unfit, results.ErrRecord) { // the picture's failure, not the run's
			err = unfit
			unfit = j.results.Write(results.Of(in.path, ids[done], nil, err))
		}
		if unfit != nil {
			return &failure{exitInputs, fmt.Errorf("write the results: %w", unfit)}
		}
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

// naming returns the error's text, in which the input's path is quoted as [quotedPath]
// does. The text names the path already if it is of the file system, or begins with it.
func naming(path string, err error) string {
	text, quoted := err.Error(), quotedPath(path)
	if of := new(fs.PathError); errors.As(err, &of) && of.Path == path {
		return strings.Replace(text, of.Op+" "+path, of.Op+" "+quoted, 1)
	}
	if rest, named := strings.CutPrefix(text, path+": "); named && path != "" {
		text = rest
	}
	return quoted + ": " + text
}
