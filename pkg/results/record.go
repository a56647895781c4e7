package results

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
)

// The errors, for errors.Is. An error of the file system, or of the reader or writer
// that was given, is none of them, and is wrapped.
var (
	// ErrFormat is what reading fails with where the text isn't of the format.
	ErrFormat = errors.New("not results in this format")
	// ErrLimit is what reading fails with where there is more than [Limits] allow.
	ErrLimit = errors.New("more than the limit allows")
	// ErrRecord is what writing fails with for a record that the format can't hold;
	// nothing of it is written.
	ErrRecord = errors.New("the format can't hold this")
)

// Record is what came of one picture: what was found, or the Error that took its
// place, and then all but Image and ID is zero.
//
// The tags are those of native JSON. A field that is added here, with omitempty, and
// in [Of] and schema.json is written and read with the others.
type Record struct {
	Image      string             `json:"image"` // the path, as it was given
	ID         int64              `json:"-"`     // COCO's image_id, in COCO results alone
	Width      int                `json:"width"` // of the upright picture, pixels
	Height     int                `json:"height"`
	Proposals  int                `json:"proposals"`          // how many candidate boxes there were
	Detections []detect.Detection `json:"detections"`         // read as nil where there are none
	Timings    detect.Timings     `json:"timings_ms"`         // whole microseconds, in files
	Presence   []detect.Presence  `json:"presence,omitempty"` // of each query, in their order
	// Boxes are the proposals, best first: x0, y0, x1, y1 in pixels of the upright picture,
	// and the objectness in [0,1]. Given are the detections in boxes of the caller's, as of
	// detect.WithProposals. JSON and JSON Lines alone have them, and Of sets neither.
	Boxes [][5]float32       `json:"boxes,omitempty"`
	Given []detect.Detection `json:"given,omitempty"`
	Error string             `json:"error,omitempty"`
}

// Of is the record of a picture: of its result, or of the error where err isn't nil.
// It shares the detections with result.
func Of(image string, id int64, result *detect.Result, err error) Record {
	if err != nil {
		return Record{Image: image, ID: id, Error: cmp.Or(err.Error(), "an error without a text")}
	}
	return Record{
		Image: image, ID: id,
		Width: result.Width, Height: result.Height,
		Proposals:  len(result.Proposals),
		Detections: result.Detections,
		Timings:    result.Timings,
		Presence:   result.Presence,
	}
}

// Writer writes records in one format.
type Writer interface {
	// Write adds a record. A format without a place for errors leaves out a record
	// with one. It fails with ErrRecord, after which other records can be written,
	// and as the underlying writer does.
	Write(Record) error
	// Close ends the document, so that it can be read, also where not all of it was
	// written. It doesn't close the underlying writer.
	Close() error
}

// check says what is wrong with a record whatever its format: a number that isn't
// finite or is negative where it can't be, or a box whose edges are out of order.
func (r Record) check() error {
	if r.Width < 0 || r.Height < 0 || r.Proposals < 0 {
		return fmt.Errorf("%q has width %d, height %d and %d proposals, want none below 0", r.Image, r.Width, r.Height, r.Proposals)
	}
	for i, c := range r.Boxes {
		b := box.Box{X0: c[0], Y0: c[1], X1: c[2], Y1: c[3]}
		if v := float64(c[4]); !b.Valid() || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%q, candidate %d: %v is not x0 <= x1, y0 <= y1 and an objectness", r.Image, i+1, c)
		}
	}
	if err := r.checkDetections("detection", r.Detections); err != nil {
		return err
	}
	return r.checkDetections("given box", r.Given)
}

func (r Record) checkDetections(what string, list []detect.Detection) error {
	for i, d := range list {
		if !d.Box.Valid() {
			return fmt.Errorf("%q, %s %d: the box %v is not x0 <= x1 and y0 <= y1", r.Image, what, i+1, d.Box)
		}
		for _, part := range []struct {
			name  string
			value float32
		}{{"score", d.Score}, {"cosine", d.Cosine}, {"probability", d.Probability}, {"objectness", d.Objectness}} {
			if v := float64(part.value); math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%q, %s %d: the %s is %v, want a finite number", r.Image, what, i+1, part.name, v)
			}
		}
	}
	return nil
}

// writable is check for writers.
func (r Record) writable() error {
	if err := r.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return nil
}
