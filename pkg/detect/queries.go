package detect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/prompt"
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
	absent    []float32      // [Q,N]: 0, and -Inf where a query has fewer
}

// Queries embeds queries. Each query's phrasings are embedded to unit length,
// averaged, and the mean is scaled to unit length again, as CLIP's zero-shot
// classifiers are made (openai/CLIP, Prompt_Engineering_for_ImageNet.ipynb). Examples
// take part in the mean; the image tower embeds them, with the views of Options.Crops.
// Pictures are the caller's and aren't changed.
//
// It fails with ErrLimit when there are too many, with ErrQuery when there is none, two
// have one name or an example's box lies outside its picture, with prompt.ErrQuery and
// prompt.ErrUTF8 where a text or weight can't be used, and with prompt.ErrTooLong when a
// phrasing has more than CLIP's 77 tokens. A query of whose embeddings Options.SubtractEmpty
// leaves nothing is ErrQuery too, and ErrOutput says that a model gave no numbers.
func (d *Detector) Queries(ctx context.Context, queries ...Query) (_ *Queries, err error) {
	defer d.callEnds(ctx, "Queries", time.Now(), &err)
	typed := make([]prompt.Query, len(queries))
	for i, query := range queries {
		typed[i] = query.text()
	}
	if err := d.options.Limits.Check(d.options.Templates, typed...); err != nil {
		return nil, fmt.Errorf("detect: queries: %w", err)
	}
	q, since := &Queries{detector: d}, time.Now()
	var took time.Duration // without the wait for the engine
	var book phrasebook
	var lists [][]string // of phrases, as the cache has them
	note := func(phrases []string) error {
		if len(phrases) > 0 {
			lists = append(lists, phrases)
		}
		return book.add(d.tokenizer, phrases)
	}
	var examples []picturedExample
	q.places = make(map[string]int)
	for _, query := range queries {
		if ctx.Err() != nil { // texts from strangers may be many and long
			return nil, fmt.Errorf("detect: queries: %w", context.Cause(ctx))
		}
		if _, twice := q.places[query.Name]; twice {
			return nil, fmt.Errorf("detect: %w: two are named %q; give all phrases to one", ErrQuery, query.Name)
		}
		q.places[query.Name] = len(q.names)
		phrases, err := query.Phrasings(d.options.Templates)
		if err == nil {
			err = errors.Join(note(phrases), note(query.Negatives))
		}
		pictures, failed := query.pictures()
		if err = errors.Join(err, failed); err != nil {
			return nil, fmt.Errorf("detect: query %q: %w", query.Name, err)
		}
		examples = append(examples, pictures...)
		q.names = append(q.names, query.Name)
		q.phrases = append(q.phrases, slices.Concat(phrases, query.labels()))
	}
	if len(queries) == 0 {
		return nil, fmt.Errorf("detect: %w: there is none", ErrQuery)
	}
	if err := note(d.options.Background); err != nil {
		return nil, fmt.Errorf("detect: background: %w", err)
	}
	var empty []string
	if d.options.SubtractEmpty {
		var err error
		if empty, err = prompt.Fill("", d.options.Templates); err == nil {
			err = note(empty)
		}
		if err != nil {
			return nil, fmt.Errorf("detect: templates: %w", err)
		}
	}

	texts := d.recall(&book, lists)
	q.encoded = len(texts.missing)
	plan := book.plan(queries, q.phrases)
	q.absent = plan.absent
	took = time.Since(since)
	err = d.do(ctx, func(s *torch.Scope) error {
		since := time.Now()
		all := d.embedExamples(s, texts.embed(s), examples)
		q.each, q.classes, q.negatives = plan.classes(s, all, book.rows(d.options.Background), book.rows(empty))
		d.lap(s, since, &took)
		return q.check(s, all)
	})
	if err != nil {
		q.Close() // what was kept before it failed
		return nil, fmt.Errorf("detect: queries: %w", err)
	}
	texts.keep()
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
		return slices.IndexFunc(torch.Download[float32](s, s.Sum(t, 1)), func(sum float32) bool { return sum-sum != 0 })
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
		negatives := s.Use(q.negatives)
		if i := none(s.Reshape(negatives, int64(len(q.absent)), -1)); i >= 0 {
			what = fmt.Sprintf("a negative phrase of %q", q.names[i*len(q.names)/len(q.absent)])
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
}

// texts are the embeddings of a phrasebook [P,D], as far as the cache has them.
type texts struct {
	detector *Detector
	book     *phrasebook
	values   []float32  // [P,D], zeros where missing; nil where there is no cache
	missing  []int64    // rows of the book that the text tower has to embed
	unkept   [][]string // lists of phrases that the cache lacks
}

// recall looks the lists of phrases, which the book holds, up in the cache.
func (d *Detector) recall(book *phrasebook, lists [][]string) *texts {
	t := &texts{detector: d, book: book}
	width := d.files.Text.Manifest.EmbeddingWidth
	known := make([]bool, len(book.tokens))
	if d.texts.dir != "" {
		t.values = make([]float32, len(book.tokens)*width)
	}
	for _, phrases := range lists {
		found := d.texts.read(book.tokensOf(phrases))
		if found == nil {
			t.unkept = append(t.unkept, phrases)
			continue
		}
		for i, row := range book.rows(phrases) {
			copy(t.values[int(row)*width:], found[i*width:(i+1)*width])
			known[row] = true
		}
	}
	for row := range known {
		if !known[row] {
			t.missing = append(t.missing, int64(row))
		}
	}
	return t
}

// embed gives all embeddings [P,D], and encodes the missing ones for that. Where the
// book is empty it gives the zero Tensor.
func (t *texts) embed(s *torch.Scope) torch.Tensor {
	width := int64(t.detector.files.Text.Manifest.EmbeddingWidth)
	if len(t.book.tokens) == 0 {
		return torch.Tensor{}
	}
	if t.values == nil {
		return s.Within(func() torch.Tensor { return t.encode(s) })
	}
	if len(t.missing) > 0 {
		var fresh []float32
		s.Within(func() torch.Tensor {
			fresh = torch.Download[float32](s, t.encode(s))
			return torch.Tensor{}
		})
		for i, row := range t.missing {
			if s.Err() == nil {
				copy(t.values[row*width:], fresh[int64(i)*width:int64(i+1)*width])
			}
		}
	}
	return torch.Upload(s, t.values, int64(len(t.book.tokens)), width)
}

// encode embeds the missing phrases, in their order. Those with as many columns of tokens
// are encoded together, so that none is the longer, or another to the last digit, for the
// others' length.
func (t *texts) encode(s *torch.Scope) torch.Tensor {
	d, done := t.detector, 0
	byLength := make(map[int][]int) // places in missing
	for i, row := range t.missing {
		n := columns(t.book.tokens[row])
		byLength[n] = append(byLength[n], i)
	}
	var parts []torch.Tensor
	place := make([]int64, len(t.missing)) // of each in the parts
	for _, length := range slices.Sorted(maps.Keys(byLength)) {
		same := byLength[length]
		for i, at := range same {
			place[at] = int64(done + i)
		}
		parts = append(parts, d.text.EncodeAll(s, len(same), d.options.Batch, func(low, high int) torch.Tensor {
			d.options.Progress(done+low, len(t.missing))
			tokens := make([]int64, 0, (high-low)*length)
			for _, at := range same[low:high] {
				tokens = append(tokens, t.book.tokens[t.missing[at]][:length]...)
			}
			return torch.Upload(s, tokens, int64(high-low), int64(length))
		}))
		done += len(same)
	}
	d.options.Progress(done, len(t.missing))
	return s.IndexSelect(s.Cat(0, parts...), 0, torch.Upload(s, place, int64(len(place))))
}

// columns is how many of a row's tokens, most of the 77, the text tower is given: a
// multiple of 8 up to the end of the text, since it doesn't look at what comes after that.
// torchscript/CONTRACT.md wants 8 at least.
func columns(row []int64) int {
	const step = 8
	used := len(row)
	for used > 1 && row[used-1] == 0 {
		used--
	}
	return min((used+step-1)/step*step, len(row))
}

// keep gives the cache what it lacked.
func (t *texts) keep() {
	if t.values == nil {
		return
	}
	width := t.detector.files.Text.Manifest.EmbeddingWidth
	for _, phrases := range t.unkept {
		var values []float32
		for _, row := range t.book.rows(phrases) {
			values = append(values, t.values[int(row)*width:(int(row)+1)*width]...)
		}
		t.detector.texts.write(t.book.tokensOf(phrases), values)
	}
}

// phrasebook gives each different phrase one row of tokens, so that none is encoded twice.
type phrasebook struct {
	row    map[string]int64
	tokens [][]int64
}

func (b *phrasebook) add(tokenizer *prompt.Tokenizer, phrases []string) error {
	if b.row == nil {
		b.row = make(map[string]int64)
	}
	for _, phrase := range phrases {
		if _, ok := b.row[phrase]; ok {
			continue
		}
		tokens, err := tokenizer.Encode(phrase)
		if err != nil {
			return err
		}
		b.row[phrase] = int64(len(b.tokens))
		b.tokens = append(b.tokens, tokens)
	}
	return nil
}

func (b *phrasebook) rows(phrases []string) []int64 {
	rows := make([]int64, len(phrases))
	for i, phrase := range phrases {
		rows[i] = b.row[phrase]
	}
	return rows
}

func (b *phrasebook) tokensOf(phrases []string) [][]int64 {
	tokens := make([][]int64, len(phrases))
	for i, row := range b.rows(phrases) {
		tokens[i] = b.tokens[row]
	}
	return tokens
}

// plan says of which rows of all embeddings [P+E,D], the phrasebook's and then the
// examples', the queries are made.
type plan struct {
	queries, longest int       // Q and T
	rows             []int64   // [Q,T]; a query with fewer than T repeats its first one
	weights          []float32 // [Q,T] in the mean, 0 where repeated
	texts            []float32 // [Q]: how much of the mean is phrasings
	negatives        []int64   // [Q,N], row 0 where there are fewer
	absent           []float32 // [Q,N]: 0, and -Inf where there are fewer
}

// plan lays out queries whose phrasings and labels of examples are given.
func (b *phrasebook) plan(queries []Query, phrases [][]string) plan {
	p := plan{queries: len(queries)}
	most := 0 // N
	for i, query := range queries {
		p.longest, most = max(p.longest, len(phrases[i])), max(most, len(query.Negatives))
	}
	example := int64(len(b.tokens))
	for i, query := range queries {
		found := b.rows(phrases[i][:len(phrases[i])-len(query.Examples)])
		weights, total, texts := query.weights(len(found))
		for range query.Examples {
			found = append(found, example)
			example++
		}
		for t := range p.longest {
			if t < len(found) {
				p.rows, p.weights = append(p.rows, found[t]), append(p.weights, float32(weights[t]/total))
			} else {
				p.rows, p.weights = append(p.rows, found[0]), append(p.weights, 0)
			}
		}
		p.texts = append(p.texts, float32(texts/total))
		p.negatives = append(p.negatives, b.rows(query.Negatives)...)
		p.absent = append(p.absent, make([]float32, len(query.Negatives))...)
		for range most - len(query.Negatives) {
			p.negatives, p.absent = append(p.negatives, 0), append(p.absent, float32(math.Inf(-1)))
		}
	}
	return p
}

// classes makes what Queries holds of all embeddings [P+E,D]; empty are the rows of the
// templates filled with nothing, none where nothing is to be subtracted.
func (p plan) classes(s *torch.Scope, all torch.Tensor, background, empty []int64) (each, classes, negatives *torch.Kept) {
	q, t, n := int64(p.queries), int64(p.longest), int64(len(p.negatives)/p.queries)
	pick := func(rows []int64) torch.Tensor { return s.IndexSelect(all, 0, torch.Upload(s, rows, int64(len(rows)))) }
	shared := torch.Tensor{} // [D]
	if len(empty) > 0 {
		shared = s.DivBy(s.Sum(pick(empty), 0), float64(len(empty)))
	}
	alone := func(rows []int64) torch.Tensor { // phrases that are classes of their own
		if len(empty) == 0 {
			return pick(rows)
		}
		return s.Unit(s.Sub(pick(rows), shared))
	}

	own := s.Reshape(pick(p.rows), q, t, -1)
	mean := s.Within(func() torch.Tensor { // the product is as large as own
		return s.Sum(s.Mul(own, torch.Upload(s, p.weights, q, t, 1)), 1) // [Q,D]
	})
	if len(empty) > 0 {
		mean = s.Sub(mean, s.Mul(torch.Upload(s, p.texts, q, 1), shared))
	}
	means := s.Unit(mean)
	if len(background) > 0 {
		means = s.Cat(0, means, alone(background))
	}
	if n > 0 {
		negatives = s.Keep(s.Reshape(alone(p.negatives), q, n, -1))
	}
	return s.Keep(own), s.Keep(means), negatives
}
