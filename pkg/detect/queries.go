package detect

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Queries are embedded queries, ready to be matched with any number of pictures of
// the Detector that made them. Close frees their memory on the device; the
// Detector's Close does so too.
//
// Shape letters: Q queries, T phrasings and examples of the query with the most, G
// background phrasings, N negative phrasings of the query with the most, P phrases of
// all, E examples of all, D the width of an embedding.
type Queries struct {
	detector  *Detector
	names     []string
	places    map[string]int // of the names
	phrases   [][]string     // of each query, as the text tower saw them; then its examples
	encoded   int            // phrases that were not in the cache
	each      *torch.Kept    // [Q,T,D]: the phrasings and examples, unit; short rows repeat their first
	classes   *torch.Kept    // [Q+G,D]: the mean of each query's, unit; then the background, unit
	negatives *torch.Kept    // [Q,N,D]: the negative phrasings, unit; nil where there are none
	absent    *torch.Kept    // [Q,N]: 0, and -Inf where a query has fewer
}

// Queries embeds queries. Each query's phrasings are embedded to unit length, averaged,
// and the mean is scaled to unit length again, as CLIP's zero-shot classifiers are made
// (openai/CLIP, Prompt_Engineering_for_ImageNet.ipynb). Examples take part in the mean;
// the image tower embeds them, with the views of Options.Crops. Pictures are the caller's
// and aren't changed.
//
// It fails as Options.Check does, and with ErrQuery if an example's box lies outside its
// picture, or if Options.SubtractEmpty leaves nothing of a query, and with ErrOutput if a
// model's output has a NaN or an infinite value.
func (d *Detector) Queries(ctx context.Context, queries ...Query) (_ *Queries, err error) {
	defer d.callEnds(ctx, "Queries", time.Now(), &err)
	since := time.Now()
	text, err := d.options.read(ctx, d.tokenizer, queries)
	if err != nil {
		return nil, err
	}
	q := &Queries{detector: d, places: text.places}
	var examples []picturedExample
	for i, query := range queries {
		pictures, err := query.pictures()
		if err != nil {
			return nil, fmt.Errorf("detect: query %q: %w", query.Name, err)
		}
		examples = append(examples, pictures...)
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
		return q.check(s, all)
	})
	if err != nil {
		q.Close() // what was kept before it failed
		return nil, fmt.Errorf("detect: queries: %w", err)
	}
	known.keep()
	d.counts.hits.Add(int64(len(book.tokens) - q.encoded))
	d.counts.text.Add(int64(took))
	d.options.Logger.Debug("queries embedded", "queries", len(queries), "phrases", len(book.tokens),
		"encoded", q.encoded, "examples", len(examples))
	return q, nil
}

// check fails where q isn't made of numbers: the models gave none, among all embeddings [P+E,D], or a class is of length
// 0, so that it has no direction.
func (q *Queries) check(s *torch.Scope, all torch.Tensor) error {
	none := func(t torch.Tensor) int { // the first row of [N,D] that isn't of numbers, or -1
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

// Names are the names of the queries, in the order in which they were given.
func (q *Queries) Names() []string { return append([]string(nil), q.names...) }

// Embeddings returns the class of each query, [Q,D]: the mean of its phrasings and
// examples, of unit length, in the order of Names. The slices are the caller's. It fails
// with ErrClosed after Close.
func (q *Queries) Embeddings(ctx context.Context) ([][]float32, error) {
	return q.detector.rows(ctx, q.classes, len(q.names))
}

// longest returns the largest number of phrasings and examples of a query.
func (q *Queries) longest() int {
	n := 0
	for _, phrases := range q.phrases {
		n = max(n, len(phrases))
	}
	return n
}

// Close frees the embeddings. It may be called twice.
func (q *Queries) Close() {
	q.each.Drop()
	q.classes.Drop()
	q.negatives.Drop()
	q.absent.Drop()
}
