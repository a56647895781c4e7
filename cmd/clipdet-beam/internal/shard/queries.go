package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/query"
)

const mostQueries = 10_000

// deviceName is what --device can be, wherever the workers are.
var deviceName = regexp.MustCompile(`^(auto|cpu|cuda(:\d+)?)$`)

// Check checks what can be checked without models and pictures. Its errors mean wrong
// usage.
func (job *Job) Check() error {
	switch {
	case job.Mode != Detect && job.Mode != Index && job.Mode != Eval:
		return fmt.Errorf("--mode %q: want %s, %s or %s", job.Mode, Detect, Index, Eval)
	case job.Mode != Eval && job.List == "":
		return errors.New("no pictures: name a list of them with --list FILE")
	case job.Out == "":
		return errors.New("no results: say with --out DIR where they go")
	case job.Shards < 1:
		return fmt.Errorf("--shards %d: want 1 or more", job.Shards)
	case job.Tries < 1:
		return fmt.Errorf("--tries %d: want 1 or more", job.Tries)
	case job.Proposals < 1:
		return fmt.Errorf("--proposals %d: want 1 or more", job.Proposals)
	case job.Params.TopK < 0:
		return fmt.Errorf("--top-k %d: want 0 (all) or more", job.Params.TopK)
	case job.Mode == Index && job.ShardRegions < 1:
		return fmt.Errorf("--shard-regions %d: want 1 or more", job.ShardRegions)
	case !slices.Contains(detect.DTypes(), job.DType):
		return fmt.Errorf("--dtype %q: want one of %s", job.DType, strings.Join(detect.DTypes(), ", "))
	case !deviceName.MatchString(job.Device):
		return fmt.Errorf("--device %q: want auto, cpu or cuda:N", job.Device)
	case job.Mode == Eval:
		return job.checkEval()
	case job.Annotations != "" || job.Images != "":
		return fmt.Errorf("--annotations and --images are for --mode %s", Eval)
	case job.Mode == Index && len(job.Queries)+len(job.File) > 0:
		return errors.New("-q: an index has no queries; clipdet search asks it")
	case job.Mode == Index:
		return job.options().Check(detect.Query{Name: "any"})
	case len(job.Queries)+len(job.File) == 0:
		return errors.New("nothing to find: name it with -q, or with --queries FILE")
	}
	typed, err := job.typed()
	if err != nil {
		return err
	}
	var asked []detect.Query
	for _, q := range typed {
		q.Examples = nil
		asked = append(asked, q.Query)
	}
	return job.options().Check(asked...)
}

func (job *Job) typed() ([]query.Query, error) {
	var typed []query.Query
	for _, text := range job.Queries {
		q, err := query.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("-q: %w", err)
		}
		typed = append(typed, q)
	}
	if job.File == nil {
		return typed, nil
	}
	more, err := query.ReadQueries(bytes.NewReader(job.File), mostQueries)
	if err != nil {
		return nil, fmt.Errorf("--queries: %w", err)
	}
	return append(typed, more...), nil
}

// queries returns the queries with the pictures of their examples.
func (job *Job) queries(ctx context.Context) ([]detect.Query, error) {
	typed, err := job.typed()
	if err != nil {
		return nil, err
	}
	var asked []detect.Query
	for _, q := range typed {
		for i, file := range q.Files {
			picture, err := read(ctx, file)
			if err != nil {
				return nil, fmt.Errorf("query %q: %w", q.Name, err)
			}
			if b := q.Examples[i].Box; b != nil && b.Clip(picture.Width, picture.Height).Empty() {
				return nil, fmt.Errorf("query %q: the box of @%s has no part of the picture, which is %d x %d pixels", q.Name, q.Examples[i].Name, picture.Width, picture.Height)
			}
			q.Examples[i].Image = picture
		}
		asked = append(asked, q.Query)
	}
	return asked, nil
}
