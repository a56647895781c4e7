package report

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"os"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/analysis"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/eval"
)

var (
	// ErrContent is returned for what can't be shown: a page without an
	// Evaluation, a box or score that isn't finite, an index of no annotation, a size below 1.
	ErrContent = errors.New("can't be shown")
	// ErrOccupied is returned for a folder that has an index.html or an images
	// folder which isn't of an earlier report.
	ErrOccupied = errors.New("the folder has other files")
)

// Page is all of a report but its gallery. What is nil or empty is left out, except for Evaluation.
type Page struct {
	Title      string // "" is "Evaluation"
	Images     int    // how many were evaluated
	Evaluation *eval.Evaluation
	Proposals  []eval.ProposalRecall
	Analysis   *analysis.Analysis
	Accuracy   *Accuracy // on ground-truth boxes
	Stages     []Stage   // of a picture, in order
	Facts      []Fact    // such as queries, models, device and versions
	Flags      []Fact    // of the command
	// Threshold is the least score that the gallery shows at first; its reader can change that.
	Threshold float64
}

// Accuracy is that on ground-truth boxes.
type Accuracy struct {
	*analysis.Accuracy
	Categories []int64 // the category ids of its classes, [C]
}

// Stage is how long a stage takes, as a mean over pictures.
type Stage struct {
	Name string
	MS   float64 // milliseconds per picture
}

// Fact is a line of the page's summary.
type Fact struct{ Name, Value string }

// Entry is a picture of the gallery. Write keeps nothing of it.
type Entry struct {
	File string // the name that is shown; it may be any bytes
	// Width and Height are of the upright picture that the boxes are in, pixels.
	Width, Height int
	// Picture is scaled to Options.Side. If it is nil, boxes are shown without one.
	Picture     image.Image
	Proposals   []Proposal  // best first; the best 100 are shown
	Detections  []Detection // best first
	Annotations []Annotation
}

// Proposal is a candidate box.
type Proposal struct {
	Box        box.Box
	Objectness float32
}

// Detection is a box that was found, with the parts of its score and the verdict on it.
type Detection struct {
	Query       string
	Box         box.Box
	Score       float32
	Cosine      float32
	Probability float32
	Objectness  float32
	Phrase      string
	RunnerUp    string
	// Kind is the verdict, "" if there is none.
	Kind analysis.Kind
	// Annotation is the index in Entry.Annotations of the one that the verdict is about, -1 if there
	// is none, and IoU the overlap with it.
	Annotation int
	IoU        float64
}

// Annotation is an object that is in the picture.
type Annotation struct {
	Category string
	Box      box.Box
	Kind     analysis.Kind  // the verdict, "" if there is none
	Cause    analysis.Cause // of a miss, "" if it isn't known
}

// Options bound the gallery. The zero Options are the defaults.
type Options struct {
	// Pictures is how many are shown at most; 0 is DefaultPictures, below 0 is no gallery.
	Pictures int
	// Side is the longest side of the gallery's pictures in pixels, larger ones are scaled down; 0 is DefaultSide.
	Side int
}

// Defaults of Options. The best DrawnProposals of a picture are shown.
const (
	DefaultPictures = 200
	DefaultSide     = 960
	DrawnProposals  = 100
)

func (o Options) withDefaults() Options {
	if o.Pictures == 0 {
		o.Pictures = DefaultPictures
	}
	if o.Side <= 0 {
		o.Side = DefaultSide
	}
	return o
}

// Write writes the page into dir, which it makes if needed. It takes the first Options.Pictures entries, in their order
// ([WorstFirst] is a good one), and an error among them ends it; entries may be nil.
//
// The folder is complete or as it was: files get their names last, and an earlier report is replaced. It fails with
// ErrContent, ErrOccupied, what entries fail with, ctx's error, or that of a file, which it names.
func Write(ctx context.Context, dir string, page Page, entries iter.Seq2[Entry, error], options Options) (err error) {
	options = options.withDefaults()
	head, err := page.view(options)
	if err != nil {
		return err
	}
	to, err := newFolder(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.clean()) }()
	file, err := os.Create(to.index())
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // closed below where all went well
	w := &writer{out: bufio.NewWriter(file), folder: to, side: options.Side, names: names{at: map[string]int{}}}
	if err := head.write(w.out); err != nil {
		return fmt.Errorf("%s: %w", file.Name(), err)
	}
	if err := w.gallery(ctx, entries, options.Pictures); err != nil {
		return err
	}
	if err := w.end(&page); err != nil {
		return fmt.Errorf("%s: %w", file.Name(), err)
	}
	if err := errors.Join(w.out.Flush(), file.Close()); err != nil {
		return err
	}
	return to.publish()
}

// gallery takes entries up to the limit.
func (w *writer) gallery(ctx context.Context, entries iter.Seq2[Entry, error], limit int) error {
	if entries == nil || limit < 0 {
		return nil
	}
	for entry, err := range entries {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := w.add(&entry); err != nil {
			return fmt.Errorf("%q: %w", entry.File, err)
		}
		if w.written == limit {
			break
		}
	}
	return nil
}
