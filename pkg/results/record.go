package results

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
)

// Errors of this package, for errors.Is. An error of the file system, the reader or the
// writer is none of them, and is wrapped.
var (
	// ErrFormat is returned by readers for text that is not of the format.
	ErrFormat = errors.New("not results in this format")
	// ErrLimit is returned by readers for more than [Limits] allow.
	ErrLimit = errors.New("more than the limit allows")
	// ErrRecord is returned by writers for a record that the format can't hold. Nothing
	// of the record is written.
	ErrRecord = errors.New("the format can't hold this")
)

// Record is the result of one picture. If Error is set, all other fields but Image, ID and
// FileName are zero.
//
// The tags are for native JSON. A new field needs omitempty, a line in [Of] and an
// entry in schema.json; it is then written and read like the others.
type Record struct {
	Image  string `json:"image"` // the path, as it was given
	ID     int64  `json:"-"`     // COCO's image_id, only in COCO's formats
	Width  int    `json:"width"` // of the upright picture, pixels
	Height int    `json:"height"`
	// Proposals is the number of candidate boxes.
	Proposals int `json:"proposals"`
	// Detections is nil after reading if there are none.
	Detections []detect.Detection `json:"detections"`
	// Timings are whole microseconds in files.
	Timings detect.Timings `json:"timings_ms"`
	// Presence has one element for each query, in their order.
	Presence []detect.Presence `json:"presence,omitempty"`
	// Boxes are the proposals, best first: x0, y0, x1, y1 in pixels of the upright
	// picture, and the objectness in [0,1]. Given are the detections in the caller's own
	// boxes (detect.WithProposals). Only JSON and JSON Lines have the two. Of sets
	// neither.
	Boxes [][5]float32       `json:"boxes,omitempty"`
	Given []detect.Detection `json:"given,omitempty"`
	Error string             `json:"error,omitempty"`
	// FileName is COCO's file_name, only in its data set. If it is empty, it is Image.
	FileName string `json:"-"`
}

// Of returns the record of a picture: of err if it isn't nil, and else of result. The
// record shares the slices of result.
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
	// Write writes a record. A format without a place for errors leaves out a record
	// with one. Write fails with ErrRecord, after which other records can be written, or
	// with an error of the underlying writer.
	Write(Record) error
	// Close ends the document, so that what was written can be read. It doesn't close the
	// underlying writer.
	Close() error
}

// check fails if a number isn't finite or a count is negative, or if the edges of a box
// are out of order.
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

// writable is check, for writers.
func (r Record) writable() error {
	if err := r.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return nil
}
