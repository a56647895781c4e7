package detect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/prompt"
	"github.com/clipdet/clipdet/pkg/torch"
)

// Query is what to look for: a name, and optionally the phrases that describe it.
type Query = prompt.Query

// Queries are embedded queries, ready to be matched with any number of pictures of
// the Detector that made them. Close frees their memory on the device; the
// Detector's Close does so too.
//
// Shape letters: Q queries, T phrasings of the query with the most, G background
// phrasings, D the width of an embedding.
type Queries struct {
	detector *Detector
	names    []string
	phrases  [][]string    // of each query, as the text tower saw them
	encoded  int           // phrases that were not in the cache
	took     time.Duration // see Took
	each     *torch.Kept   // [Q,T,D]: the phrasings, unit; short rows repeat their first
	classes  *torch.Kept   // [Q+G,D]: the mean of each query's phrasings, unit; then the background, unit
}

// Queries embeds queries. Each query's phrasings are embedded to unit length,
// averaged, and the mean is scaled to unit length again, as CLIP's zero-shot
// classifiers are made (openai/CLIP, Prompt_Engineering_for_ImageNet.ipynb).
//
// It fails with ErrQuery when there is none or two have one name, with
// prompt.ErrTooLong when a phrasing has more than CLIP's 77 tokens.
func (d *Detector) Queries(ctx context.Context, queries ...Query) (_ *Queries, err error) {
	defer d.ended(ctx, "Queries", time.Now(), &err)
	q, since := &Queries{detector: d}, time.Now()
	var book phrasebook
	longest := 0
	named := make(map[string]bool)
	for _, query := range queries {
		if named[query.Name] {
			return nil, fmt.Errorf("detect: %w: two are named %q; give all phrases to one", ErrQuery, query.Name)
		}
		named[query.Name] = true
		phrases, err := query.Phrasings(d.options.Templates)
		if err != nil {
			return nil, fmt.Errorf("detect: query %q: %w", query.Name, err)
		}
		if err := book.add(d.tokenizer, phrases); err != nil {
			return nil, fmt.Errorf("detect: query %q: %w", query.Name, err)
		}
		q.names = append(q.names, query.Name)
		q.phrases = append(q.phrases, phrases)
		longest = max(longest, len(phrases))
	}
	if len(queries) == 0 {
		return nil, fmt.Errorf("detect: %w: there is none", ErrQuery)
	}
	if err := book.add(d.tokenizer, d.options.Background); err != nil {
		return nil, fmt.Errorf("detect: background: %w", err)
	}

	texts := d.recall(&book, append(q.phrases[:len(q.phrases):len(q.phrases)], d.options.Background))
	q.encoded = len(texts.missing)
	rows, weights := book.layout(q.phrases, longest)
	background := book.rows(d.options.Background)
	q.took = time.Since(since)
	err = d.do(ctx, func(s *torch.Scope) error {
		since := time.Now()
		all := texts.embed(s)
		n, t := int64(len(q.names)), int64(longest)
		each := s.IndexSelect(all, 0, torch.Upload(s, rows, n*t))
		each = s.Reshape(each, n, t, -1)
		mean := s.Sum(s.Mul(each, torch.Upload(s, weights, n, t, 1)), 1)
		classes := s.Unit(mean)
		if len(background) > 0 {
			classes = s.Cat(0, classes, s.IndexSelect(all, 0, torch.Upload(s, background, int64(len(background)))))
		}
		q.each, q.classes = s.Keep(each), s.Keep(classes)
		d.lap(s, since, &q.took)
		return nil
	})
	if err != nil {
		q.Close() // what was kept before it failed
		return nil, fmt.Errorf("detect: queries: %w", err)
	}
	texts.keep()
	d.counts.hits.Add(int64(len(book.tokens) - q.encoded))
	d.counts.text.Add(int64(q.took))
	d.options.Logger.Debug("queries embedded", "queries", len(queries), "phrases", len(book.tokens), "encoded", q.encoded)
	return q, nil
}

// Encoded is how many phrases the text tower embedded for these queries; the others
// came from the cache of Options.TextCache.
func (q *Queries) Encoded() int { return q.encoded }

// Took is how long these queries took to tokenise, look up and embed, without the
// wait for the engine. On a GPU it means something with Options.Synchronize alone.
func (q *Queries) Took() time.Duration { return q.took }

// Names are the names of the queries, in the order in which they were given.
func (q *Queries) Names() []string { return append([]string(nil), q.names...) }

// Close frees the embeddings. It may be called twice.
func (q *Queries) Close() {
	q.each.Drop()
	q.classes.Drop()
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

// embed gives all embeddings [P,D], and encodes the missing ones for that.
func (t *texts) embed(s *torch.Scope) torch.Tensor {
	width := int64(t.detector.files.Text.Manifest.EmbeddingWidth)
	if t.values == nil {
		return t.encode(s)
	}
	if len(t.missing) > 0 {
		fresh := torch.Download[float32](s, t.encode(s))
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

// layout gives the rows [Q,T] of the phrasings and their weights [Q,T] in the mean.
// A query with fewer than T repeats its first one at weight 0.
func (b *phrasebook) layout(phrases [][]string, longest int) (rows []int64, weights []float32) {
	for _, own := range phrases {
		found := b.rows(own)
		for i := range longest {
			if i < len(own) {
				rows, weights = append(rows, found[i]), append(weights, 1/float32(len(own)))
			} else {
				rows, weights = append(rows, found[0]), append(weights, 0)
			}
		}
	}
	return rows, weights
}
