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
	// ErrContent is returned for content that can't be shown, such as a page without an
	// Evaluation, a box or score that isn't finite, an annotation index out of range, or
	// a size below 1.
	ErrContent = errors.New("can't be shown")
	// ErrOccupied is returned for a folder that contains an index.html or an images
	// folder that isn't part of an earlier report.
	ErrOccupied = errors.New("the folder has other files")
)

// Page is everything in a report except the gallery. A field that is nil or empty is left
// out. Evaluation is required.
type Page struct {
	Title      string // "": "Evaluation"
	Images     int    // number of evaluated images
	Evaluation *eval.Evaluation
	Proposals  []eval.ProposalRecall
	Analysis   *analysis.Analysis
	Accuracy   *Accuracy // on ground-truth boxes
	Stages     []Stage   // per picture, in order
	Facts      []Fact    // such as models, device and versions
	Flags      []Fact    // flags of the command
	// Threshold is the least score that the gallery shows at first. The reader can change
	// it.
	Threshold float64
}

// Accuracy is the accuracy on ground-truth boxes.
type Accuracy struct {
	*analysis.Accuracy
	Categories []int64 // the category ids of its classes, [C]
}

// Stage is the mean time of a stage per picture in milliseconds.
type Stage struct {
	Name string
	MS   float64
}

// Fact is a line of the page's summary.
type Fact struct{ Name, Value string }

// Entry is a picture of the gallery. Write keeps no reference to it.
type Entry struct {
	File string // displayed name; it may be any bytes
	// Width and Height are the size in pixels of the upright picture that the boxes are
	// in.
	Width, Height int
	// Picture is scaled to Options.Side. If it is nil, the boxes are shown without it.
	Picture     image.Image
	Proposals   []Proposal  // best first; DrawnProposals are shown
	Detections  []Detection // best first
	Annotations []Annotation
}

// Proposal is a candidate box.
type Proposal struct {
	Box        box.Box
	Objectness float32
}

// Detection is a detected box with the parts of its score and its verdict.
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
	// Annotation is the index in Entry.Annotations of the annotation that the verdict is
	// about, or -1. IoU is the overlap with it.
	Annotation int
	IoU        float64
}

// Annotation is an object in the picture.
type Annotation struct {
	Category string
	Box      box.Box
	Kind     analysis.Kind  // the verdict, "" if there is none
	Cause    analysis.Cause // of a miss, "" if unknown
}

// Options are the limits of the gallery. The zero Options means the defaults.
type Options struct {
	// Pictures is the largest number of pictures. 0 means DefaultPictures, and below 0
	// means no gallery.
	Pictures int
	// Side is the longest side of the gallery's pictures in pixels. Larger pictures are
	// scaled down. 0 or less means DefaultSide.
	Side int
}

// The defaults of Options, and DrawnProposals, the number of best proposals of a picture
// that are shown.
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

// Write writes the page into dir, and creates dir if needed. It takes the first
// Options.Pictures of the entries, in their order, such as the order of [WorstFirst].
// entries may be nil.
//
// If Write fails, the folder is as it was before: files get their names last, and then an
// earlier report is replaced. Its error is ErrContent, ErrOccupied, an error of entries,
// an error of ctx, or an error of a file that names it.
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
	defer func() { _ = file.Close() }() // closed below on success
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

// gallery adds entries up to the limit.
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
