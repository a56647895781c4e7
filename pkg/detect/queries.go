package detect

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Queries are embedded queries, which can be matched with any number of pictures by the
// Detector that made them. Close frees their memory on the device, and so does the
// Detector's Close.
//
// Shape letters: Q queries, T phrasings and examples of the query with the most, G
// background phrasings, N negative phrasings of the query with the most, P phrases of
// all, E examples of all, D the width of an embedding.
type Queries struct {
	detector  *Detector
	names     []string
	places    map[string]int // by name
	phrases   [][]string     // of each query: its phrasings, then its examples
	encoded   int            // phrases that weren't in the cache
	each      *torch.Kept    // [Q,T,D]: unit; short rows repeat their first
	classes   *torch.Kept    // [Q+G,D]: unit means, then the background
	negatives *torch.Kept    // [Q,N,D]: unit; nil if there are none
	absent    *torch.Kept    // [Q,N]: 0, or -Inf in place of a missing one
	alike     []Alike
	shares    *torch.Kept // [Q+G,L+1]: see keepShares; nil if no queries are alike
	column    *torch.Kept // [Q]
}

// Queries embeds queries. The phrasings of each query are embedded to unit length and
// averaged, and the mean is scaled to unit length, as CLIP's zero-shot classifiers are
// made (openai/CLIP, Prompt_Engineering_for_ImageNet.ipynb). Examples are part of the
// mean. The image tower embeds them, with the views of Options.Crops. Pictures aren't
// changed. The caller closes the Queries.
//
// It fails with the errors of Options.Check. It fails with ErrQuery if the box of an
// example lies outside its picture, or if nothing is left of a query after
// Options.SubtractEmpty. It fails with ErrOutput if a model's output has a NaN or an
// infinite value.
func (d *Detector) Queries(ctx context.Context, queries ...Query) (_ *Queries, err error) {
	defer d.callEnds(ctx, "Queries", time.Now(), &err)
	since := time.Now()
	text, err := d.options.read(ctx, d.tokenizer, queries)
	if err != nil {
		return nil, err
	}
	q := &Queries{detector: d, places: text.places}
	var examples []checkedExample
	for i, query := range queries {
		checked, err := query.examples(d.files.Image.Manifest.EmbeddingWidth)
		if err != nil {
			return nil, fmt.Errorf("detect: query %q: %w", query.Name, err)
		}
		examples = append(examples, checked...)
		q.names = append(q.names, query.Name)
		q.phrases = append(q.phrases, slices.Concat(text.phrasings[i], query.labels()))
	}

	book := &text.book
	known := d.recall(book, text.lists)
	q.encoded = len(known.missing)
	plan := book.plan(queries, q.phrases)
	took := time.Since(since) // without the wait for the engine
	err = d.onEngine(ctx, func(s *torch.Scope) error {
		since := time.Now()
		all := d.embedExamples(s, known.embed(s), examples)
		q.each, q.classes, q.negatives, q.absent = plan.classes(s, all, book.rows(d.options.Background), book.rows(text.empty))
		d.addTime(s, since, &took)
		if err := q.check(s, all); err != nil {
			return err
		}
		q.keepShares(s, q.likeness(s, d.options.Alike))
		return nil
	})
	if err != nil {
		q.Close() // frees what was kept
		return nil, fmt.Errorf("detect: queries: %w", err)
	}
	known.keep()
	d.counts.hits.Add(int64(len(book.tokens) - q.encoded))
	d.counts.text.Add(int64(took))
	d.options.Logger.Debug("queries embedded", "queries", len(queries), "phrases", len(book.tokens),
		"encoded", q.encoded, "examples", len(examples))
	return q, nil
}

// check fails with ErrOutput if the embeddings [P+E,D] of all phrases and examples have a
// NaN or an infinite value, and with ErrQuery if a class has the length 0, and so no
// direction.
func (q *Queries) check(s *torch.Scope, all torch.Tensor) error {
	// none returns the first row of [N,D] with a NaN or an infinite value, or -1.
	none := func(t torch.Tensor) int {
		return slices.IndexFunc(torch.Download[float32](s, s.Sum(t, 1)), func(sum float32) bool { return !number(sum) })
	}
	if none(all) >= 0 {
		return fmt.Errorf("%w: the embedding of a phrase or example is not of numbers; try models of dtype float32", ErrOutput)
	}
	what := ""
	if i := none(s.Use(q.classes)); i >= len(q.names) {
		what = fmt.Sprintf("phrase %d of the background", i-len(q.names)+1)
	} else if i >= 0 {
		what = fmt.Sprintf("%q", q.names[i])
	}
	if q.negatives != nil {
		negatives := s.Use(q.negatives) // [Q,N,D]
		if shape := s.Shape(negatives); s.Err() == nil {
			if i := none(s.Reshape(negatives, shape[0]*shape[1], -1)); i >= 0 {
				what = fmt.Sprintf("a negative phrase of %q", q.names[i/int(shape[1])])
			}
		}
	}
	if what != "" && s.Err() == nil {
		return fmt.Errorf("%w: %s has no embedding: nothing is left of it once the templates' own is subtracted, or its parts cancel out", ErrQuery, what)
	}
	return nil
}

// Names returns the names of the queries, in their order. The caller owns the slice.
func (q *Queries) Names() []string { return append([]string(nil), q.names...) }

// Embeddings returns the class of each query, [Q,D], in the order of Names: the mean of
// its phrasings and examples, of unit length. The caller owns the slices. It fails with
// ErrClosed after Close.
func (q *Queries) Embeddings(ctx context.Context) ([][]float32, error) {
	return q.detector.rows(ctx, q.classes, len(q.names))
}

// longest returns the largest number of phrasings and examples of a query, T.
func (q *Queries) longest() int {
	n := 0
	for _, phrases := range q.phrases {
		n = max(n, len(phrases))
	}
	return n
}

// Close frees the embeddings. It may be called more than once.
func (q *Queries) Close() {
	q.each.Drop()
	q.classes.Drop()
	q.negatives.Drop()
	q.absent.Drop()
	q.shares.Drop()
	q.column.Drop()
}
