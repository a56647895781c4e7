package detect

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/crop"
	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// Query is a thing to look for: a name, and optionally texts and pictures of it.
type Query struct {
	// Name labels the detections. In the templates a _ of it is a space, as in
	// traffic_light.
	Name string
	// Phrases describe the thing. They are used as they are. If there are neither phrases
	// nor examples, the templates with Name are used instead.
	Phrases []string
	// Weights are the weights of the phrases in the mean, each above 0. Only their
	// ratios, also to the weights of the examples, count. nil is 1 each.
	Weights []float32
	// Negatives describe what the thing is not. They are used as they are. They are
	// further classes in the softmax of this query alone: the better one fits a box, the
	// lower is the Probability of the query. The Cosine doesn't change.
	Negatives []string
	// Examples show the thing. CLIP's cosine of two pictures is far greater than its
	// cosine of a picture and a phrase, so a query with examples wins the softmax against
	// a query with phrases only. Give examples to all queries, or to none, or rank by
	// cosine.
	Examples []Example
}

// Example is a picture of a thing, or a box of it, or the embedding of one.
type Example struct {
	// Image is the caller's and isn't changed.
	Image image.Image
	// Embedding, if it isn't nil, takes the place of Image and Box: the embedding of a
	// region by the same models, [D], as [Stored] has it. The vector's length doesn't
	// count, but it must be above 0 and finite.
	Embedding []uint16
	// Box is the place of the thing, in pixels of the picture, as edges; nil is the whole
	// picture.
	Box *box.Box
	// Weight is the weight in the mean of the query, above 0; 0 is 1.
	Weight float32
	// Name, with an @ before it, is the Phrase of a Detection; "" is the number of the
	// example in its query, from 1.
	Name string
}

// Phrasings returns the texts whose embeddings are averaged for q: its phrases, or the
// templates with its name, or none if it has examples only. It fails with ErrQuery,
// prompt.ErrUTF8 or prompt.ErrTooLong if a text, weight, box or embedding of q can't be
// used, and with the errors of prompt.Fill. The caller owns the slice.
func (q Query) Phrasings(templates []string) ([]string, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	if len(q.Phrases) > 0 || len(q.Examples) > 0 {
		return slices.Clone(q.Phrases), nil
	}
	return prompt.Fill(spoken(q.Name), templates)
}

// spoken returns a name as people say it: with spaces for each _, unless nothing else is
// in it.
func spoken(name string) string {
	if words := strings.Fields(strings.ReplaceAll(name, "_", " ")); len(words) > 0 && strings.Contains(name, "_") {
		return strings.Join(words, " ")
	}
	return name
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
		if problem := noDirection(e.Embedding); problem != "" {
			return fmt.Errorf("%w: the embedding of %q %s", ErrQuery, e.label(i), problem)
		}
		switch {
		case e.Embedding != nil && (e.Image != nil || e.Box != nil):
			return fmt.Errorf("%w: %q has an embedding, and a picture or box too; give one of them", ErrQuery, e.label(i))
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

// weights returns the weights of the phrasings, which may be filled templates, and then
// of the examples; the sum of all; and the sum of the phrasings' alone.
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

// checkedExample is an example whose embedding has the width D, if it has one.
type checkedExample struct {
	embedding []uint16 // nil: of the picture's box
	picture   *pixels.RGB
	box       box.Box
}

// examples checks the examples of q for models whose embeddings have a width.
func (q Query) examples(width int) ([]checkedExample, error) {
	var found []checkedExample
	for i, e := range q.Examples {
		if e.Embedding != nil {
			if len(e.Embedding) != width {
				return nil, fmt.Errorf("%w: the embedding of %s has %d numbers, and the models' have %d",
					ErrQuery, e.label(i), len(e.Embedding), width)
			}
			found = append(found, checkedExample{embedding: e.Embedding})
			continue
		}
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
		found = append(found, checkedExample{picture: picture, box: b})
	}
	return found, nil
}

// noDirection returns why the bits of float16 make no vector that has a direction, or "".
// It leaves the number of them to examples.
func noDirection(embedding []uint16) string {
	const exponent, magnitude = 0x7c00, 0x7fff
	zeros := true
	for _, bits := range embedding {
		if bits&exponent == exponent {
			return "has a number that is not finite"
		}
		zeros = zeros && bits&magnitude == 0
	}
	if zeros && len(embedding) > 0 {
		return "has only zeros, and so no direction"
	}
	return ""
}

// embedExamples returns the embeddings [P+E,D] of texts [P,D], which is the zero Tensor
// if P is 0, and of the examples.
func (d *Detector) embedExamples(s *torch.Scope, texts torch.Tensor, examples []checkedExample) torch.Tensor {
	if len(examples) == 0 {
		return texts
	}
	var all []torch.Tensor
	if texts != (torch.Tensor{}) {
		all = append(all, texts)
	}
	for _, e := range examples {
		all = append(all, s.Within(func() torch.Tensor {
			if e.embedding != nil {
				return s.Unit(s.To(torch.Upload(s, e.embedding, 1, int64(len(e.embedding))), torch.Float32))
			}
			t := newTask(context.Background(), e.picture)
			t.uploaded, t.boxes = crop.Upload(s, e.picture), []box.Box{e.box}
			t.found = rpn.Given(s, rpn.Proposals{Boxes: t.boxes, Objectness: []float32{1}})
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
