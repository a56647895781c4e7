package detect

import (
	"maps"
	"slices"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// texts holds the embeddings of a phrasebook [P,D], as far as the cache has them.
type texts struct {
	detector *Detector
	book     *phrasebook
	values   []float32  // [P,D], zeros for missing ones; nil without a cache and memory
	missing  []int64    // rows of the book that both lack
	unkept   [][]string // lists of phrases that the cache lacks
}

// recall looks up lists of phrases of the book in the cache, and then phrases in the
// memory.
func (d *Detector) recall(book *phrasebook, lists [][]string) *texts {
	t := &texts{detector: d, book: book}
	width := d.files.Text.Manifest.EmbeddingWidth
	known := make([]bool, len(book.tokens))
	if d.texts.dir != "" || d.remembered.most > 0 {
		t.values = make([]float32, len(book.tokens)*width)
	}
	for _, phrases := range lists {
		found := d.texts.read(book.tokensOf(phrases))
		if found == nil {
			t.unkept = append(t.unkept, phrases)
			for i, row := range book.rows(phrases) {
				if d.remembered.most > 0 && !known[row] {
					known[row] = d.remembered.read(phrases[i], t.values[int(row)*width:(int(row)+1)*width])
				}
			}
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

// embed encodes the missing phrases and returns all embeddings [P,D], or the zero Tensor
// if the book is empty.
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

// encode embeds the missing phrases, in their order. Only phrases with the same number of
// columns of tokens are encoded together. So none becomes longer, or differs in the last
// digits, because of the length of another.
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

// columns returns how many of a row's 77 tokens the text tower is given: up to the end of
// the text, rounded up to 12 or to a multiple of 8 above it. The tower doesn't use the
// rest. A name of one to four tokens fits into 12 in all of the default templates, so that
// its phrasings are encoded together. torchscript/CONTRACT.md requires at least 8.
func columns(row []int64) int {
	const least, step = 12, 8
	used := len(row)
	for used > 1 && row[used-1] == 0 {
		used--
	}
	if used <= least {
		return min(least, len(row))
	}
	return min((used+step-1)/step*step, len(row))
}

// keep writes to the cache and to the memory what they lacked.
func (t *texts) keep() {
	if t.values == nil {
		return
	}
	d, width := t.detector, t.detector.files.Text.Manifest.EmbeddingWidth
	for _, phrases := range t.unkept {
		var values []float32
		for i, row := range t.book.rows(phrases) {
			embedding := t.values[int(row)*width : (int(row)+1)*width]
			values = append(values, embedding...)
			if d.remembered.most > 0 {
				d.remembered.write(phrases[i], embedding)
			}
		}
		if d.texts.dir != "" {
			d.texts.write(t.book.tokensOf(phrases), values)
		}
	}
}
