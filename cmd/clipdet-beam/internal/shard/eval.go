package shard

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/store"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/query"
	"github.com/clipdet/clipdet/pkg/results"
)

// mostAnnotationsBytes is more than the largest known data sets' take, with segments.
const mostAnnotationsBytes = 4 << 30

func (job *Job) checkEval() error {
	switch {
	case job.Annotations == "":
		return errors.New("no ground truth: name COCO's instances with --annotations FILE")
	case job.Images == "":
		return errors.New("no pictures: name their folder with --images DIR")
	case job.List != "":
		return errors.New("--list: the pictures of --annotations are done")
	case len(job.Queries) > 0 || job.File != nil:
		return errors.New("-q and --queries: the categories of --annotations are asked for")
	}
	return nil
}

// annotations are what a job needs of a data set.
type annotations struct {
	digest  string // of the file
	images  []eval.Image
	queries []detect.Query // for the categories
	most    int            // detections of a picture that count
}

func readAnnotations(ctx context.Context, name string) (*annotations, error) {
	data, err := store.Read(ctx, name, mostAnnotationsBytes)
	if err != nil {
		return nil, fmt.Errorf("--annotations: %w", err)
	}
	set, err := eval.ReadDataset(bytes.NewReader(data), eval.Limits{})
	if err != nil {
		return nil, fmt.Errorf("--annotations %s: %w", name, err)
	}
	of, err := query.OfDataset(set)
	if err != nil {
		return nil, fmt.Errorf("--annotations %s: %w", name, err)
	}
	a := &annotations{digest: fmt.Sprintf("%x", sha256.Sum256(data)), images: set.Images, most: set.MostDetections()}
	for _, name := range of.Names {
		a.queries = append(a.queries, detect.Query{Name: name})
	}
	return a, nil
}

// readEval reads the annotations, and bounds the choice of boxes by what counts, as clipdet
// eval does. It returns what is asked.
func (w *Worker) readEval(ctx context.Context) ([]detect.Query, error) {
	set, err := readAnnotations(ctx, w.job.Annotations)
	if err != nil {
		return nil, err
	}
	if set.digest != w.job.Listed {
		return nil, fmt.Errorf("--annotations %s: it isn't the file that the job was started with", w.job.Annotations)
	}
	w.images = set.images
	p := &w.job.Params
	if p.TopK == 0 || p.TopK > set.most {
		p.TopK = set.most // no more can be among the best of all
	}
	p.Best, p.MaxDetections = set.most, math.MaxInt
	return set.queries, nil
}

// madeWith returns what an evaluation's records depend on, by the names of clipdet eval.
func (job *Job) madeWith(info detect.Info) map[string]string {
	device, _, _ := strings.Cut(info.Device, ":")
	return map[string]string{
		"clipdet-beam": version(), "annotations": job.Listed, "device": device,
		"rpn": info.RPN.Manifest.Digest, "clip-image": info.Image.Manifest.Digest, "clip-text": info.Text.Manifest.Digest,
		"--proposals": strconv.Itoa(job.Proposals), "--top-k": strconv.Itoa(job.Params.TopK), "--max-detections": strconv.Itoa(job.Params.Best),
		"--threshold": strconv.FormatFloat(float64(job.Params.Threshold), 'g', -1, 32),
	}
}

// version returns the version of this build as the Go toolchain recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return cmp.Or(info.Main.Version, "(devel)")
}

// evaluate writes the records that clipdet eval --shard i/N writes, into the file name.
func (w *Worker) evaluate(ctx context.Context, i int, name string) (Outcome, error) {
	images := each(w.images, i, w.job.Shards)
	return w.write(ctx, i, name, lines{
		head:     results.EvalHeader{Format: results.EvalFormat, Shard: fmt.Sprintf("%d/%d", i, w.job.Shards), Made: w.made},
		pictures: annotated(ctx, w.job.Images, images), n: len(images),
		record: func(k int, result *detect.Result, err error) results.Record {
			record := results.Of(images[k].FileName, images[k].ID, result, err)
			if err != nil {
				return record
			}
			record.Presence = nil
			for _, p := range result.Proposals {
				record.Boxes = append(record.Boxes, [5]float32{p.Box.X0, p.Box.Y0, p.Box.X1, p.Box.Y1, p.Objectness})
			}
			return record
		},
	})
}

// annotated is pictures of a data set's images in dir. A picture that isn't of the
// annotated size, or isn't in dir, is an error.
func annotated(ctx context.Context, dir string, images []eval.Image) iter.Seq2[image.Image, error] {
	paths := make([]string, len(images))
	for k := range images {
		if name := filepath.FromSlash(images[k].FileName); filepath.IsLocal(name) {
			paths[k] = store.Join(dir, name)
		}
	}
	return func(yield func(image.Image, error) bool) {
		k := 0
		for picture, err := range pictures(ctx, paths) {
			if paths[k] == "" {
				err = fmt.Errorf("the file_name %q leads out of the folder of pictures", images[k].FileName)
			}
			if err == nil {
				size := picture.Bounds().Size()
				err = images[k].CheckSize(size.X, size.Y)
			}
			if err != nil {
				picture = nil
			}
			k++
			if !yield(picture, err) {
				return
			}
		}
	}
}
