package detect

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"strconv"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/crop"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// Query is what to look for: a name, and optionally what describes or shows it.
type Query struct {
	// Name is what detections are labelled with.
	Name string
	// Phrases describe the thing, each taken as it is. If there are neither phrases nor
	// examples, Name is filled into the templates instead.
	Phrases []string
	// Weights are those of the phrases in the mean, each above 0, which count by their
	// ratios; nil is 1 each.
	Weights []float32
	// Negatives describe what the thing is not, each taken as it is. They are further
	// classes in the softmax of this query alone, so that they lower its Probability
	// where they fit a box better; its Cosine stays.
	Negatives []string
	// Examples show the thing. CLIP's cosine of two pictures is far greater than that of
	// a picture and a phrase, so that a query with examples wins the softmax against one
	// with phrases alone: show all queries, or none, or rank by cosine.
	Examples []Example
}

// Example is a picture of a thing, or a box of it.
type Example struct {
	// Image is the caller's and isn't changed.
	Image image.Image
	// Box is where the thing is, in pixels of the picture, as edges; nil is all of it.
	Box *box.Box
	// Weight is that in the mean of the query, above 0; 0 is 1.
	Weight float32
	// Name is what a Detection says as its Phrase, with an @ before it; "" is the
	// example's place, from 1.
	Name string
}

// Phrasings returns the texts whose embeddings are averaged for q: its phrases, or its
// name filled into the templates, or none if there are examples alone. It fails with
// ErrQuery, prompt.ErrUTF8 or prompt.ErrTooLong for a text, weight or box that can't be
// used, and as prompt.Fill does.
func (q Query) Phrasings(templates []string) ([]string, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	if len(q.Phrases) > 0 || len(q.Examples) > 0 {
		return slices.Clone(q.Phrases), nil
	}
	return prompt.Fill(q.Name, templates)
}

func (q Query) check() error {
	if err := checkText("name", q.Name); err != nil {
		return err
	}
	for i, phrase := range q.Phrases {
		if err := checkText(fmt.Sprintf("phrase %d", i+1), phrase); err != nil {
			return err
		}
	}
	if len(q.Weights) > 0 && len(q.Weights) != len(q.Phrases) {
		return fmt.Errorf("%w: %d weights for %d phrases", ErrQuery, len(q.Weights), len(q.Phrases))
	}
	for i, weight := range q.Weights {
		if !positive(weight) {
			return fmt.Errorf("%w: the weight of phrase %d is %v, not a number above 0", ErrQuery, i+1, weight)
		}
	}
	for i, negative := range q.Negatives {
		if err := checkText(fmt.Sprintf("negative phrase %d", i+1), negative); err != nil {
			return err
		}
	}
	for i, e := range q.Examples {
		switch {
		case e.Box != nil && (!e.Box.Valid() || e.Box.Empty()):
			return fmt.Errorf("%w: the box of %q has no inside; give left, top, right and bottom edge", ErrQuery, e.label(i))
		case e.Weight != 0 && !positive(e.Weight):
			return fmt.Errorf("%w: the weight of %q is %v, not a number above 0", ErrQuery, e.label(i), e.Weight)
		}
	}
	return nil
}

func checkText(what, text string) error {
	err := prompt.Check(what, text)
	if errors.Is(err, prompt.ErrPhrase) {
		return fmt.Errorf("%w: %w", ErrQuery, err)
	}
	return err
}

func positive(weight float32) bool { return weight > 0 && weight <= math.MaxFloat32 }

func (e Example) label(i int) string {
	if e.Name == "" {
		return "@" + strconv.Itoa(i+1)
	}
	return "@" + e.Name
}

func (q Query) labels() []string {
	labels := make([]string, len(q.Examples))
	for i, e := range q.Examples {
		labels[i] = e.label(i)
	}
	return labels
}

// weights are those of q's phrasings, which may be templates, and then of its examples;
// their sum, and the sum of the phrasings' alone.
func (q Query) weights(phrasings int) (weights []float64, total, texts float64) {
	for i := range phrasings {
		w := 1.0
		if len(q.Weights) > 0 {
			w = float64(q.Weights[i])
		}
		weights, texts = append(weights, w), texts+w
	}
	total = texts
	for _, e := range q.Examples {
		w := float64(e.Weight)
		if w == 0 {
			w = 1
		}
		weights, total = append(weights, w), total+w
	}
	return weights, total, texts
}

// picturedExample is an example, decoded.
type picturedExample struct {
	picture *pixels.RGB
	box     box.Box
}

// pictures are q's examples, checked.
func (q Query) pictures() ([]picturedExample, error) {
	var found []picturedExample
	for i, e := range q.Examples {
		picture, err := fromImage(e.Image)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.label(i), err)
		}
		b := box.Box{X1: float32(picture.Width), Y1: float32(picture.Height)}
		if e.Box != nil {
			b = *e.Box
		}
		if b.Clip(picture.Width, picture.Height).Empty() {
			return nil, fmt.Errorf("%w: the box %v of %s has no part of the picture, which is %d x %d pixels",
				ErrQuery, b, e.label(i), picture.Width, picture.Height)
		}
		found = append(found, picturedExample{picture, b})
	}
	return found, nil
}

// embedExamples puts the examples' embeddings after those of texts [P,D], which is the
// zero Tensor where P is 0: [P+E,D].
func (d *Detector) embedExamples(s *torch.Scope, texts torch.Tensor, examples []picturedExample) torch.Tensor {
	if len(examples) == 0 {
		return texts
	}
	var all []torch.Tensor
	if texts != (torch.Tensor{}) {
		all = append(all, texts)
	}
	for _, e := range examples {
		all = append(all, s.Within(func() torch.Tensor {
			t := newTask(context.Background(), e.picture)
			t.uploaded, t.boxes = crop.Upload(s, e.picture), []box.Box{e.box}
			waiting := d.pendingCrops([]*task{t})
			for batches := d.image.Batches(s, d.options.Batch); len(waiting) > 0 && s.Err() == nil; s.Pause() {
				embeddings, n := d.cropAndEmbed(s, batches, waiting)
				assign(s, embeddings, waiting[:n])
				waiting = waiting[n:]
			}
			return t.embeddings(s)
		}))
	}
	return s.Cat(0, all...)
}
