package prompt

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrLimit is what more queries, phrases, templates or text than [Limits] allow fail with.
var ErrLimit = errors.New("over the limit")

// Limits bound what is taken on, so that texts from strangers can't ask for all memory. The zero Limits are the defaults.
// The length of a text is no option, since CLIP reads 77 tokens: a name, phrase or template of more than 4,096 bytes is
// ErrTooLong.
type Limits struct {
	// Queries is the most queries that are taken together, 10,000 if 0 or less.
	Queries int
	// Phrases is the most phrases of one query, and as many negative ones, and the most
	// templates, 1,000 if 0 or less. An example counts as a phrase.
	Phrases int
	// Total is the most that the number of queries times the phrasings, negative ones and examples of the query with the
	// most may be, 250,000 if 0 or less. The embeddings take that many rows: 512 MB at CLIP's width of 512.
	Total int
	// FileBytes is the size of a template file, 1 MiB if 0 or less.
	FileBytes int64
}

func (l Limits) orDefault() Limits {
	if l.Queries <= 0 {
		l.Queries = 10_000
	}
	if l.Phrases <= 0 {
		l.Phrases = 1000
	}
	if l.Total <= 0 {
		l.Total = 250_000
	}
	if l.FileBytes <= 0 {
		l.FileBytes = 1 << 20
	}
	l.FileBytes = min(l.FileBytes, math.MaxInt64-1) // so that one more can be asked for
	return l
}

// Check fails with [ErrLimit] where the queries, with these templates for those that have no phrases, are too many. It
// looks at no text.
func (l Limits) Check(templates []string, queries ...Query) error {
	l = l.orDefault()
	if len(queries) > l.Queries {
		return fmt.Errorf("%w: %d queries, and %d are taken together", ErrLimit, len(queries), l.Queries)
	}
	if len(templates) > l.Phrases {
		return fmt.Errorf("%w: %d templates, and %d are taken", ErrLimit, len(templates), l.Phrases)
	}
	longest, negatives := 0, 0
	for _, q := range queries {
		own := len(q.Phrases) + len(q.Examples)
		if most := max(own, len(q.Negatives)); most > l.Phrases {
			return fmt.Errorf("%w: %d phrases for %.40q, and %d are taken", ErrLimit, most, q.Name, l.Phrases)
		}
		if own == 0 {
			own = len(templates)
		}
		longest, negatives = max(longest, own), max(negatives, len(q.Negatives))
	}
	longest += negatives
	if total := len(queries) * longest; total > l.Total {
		return fmt.Errorf("%w: %d queries of up to %d phrasings take %d rows, and there are %d; ask in several runs or use fewer templates",
			ErrLimit, len(queries), longest, total, l.Total)
	}
	return nil
}

// bounded reads no more than a number of bytes; one more is [ErrLimit].
type bounded struct {
	r    io.Reader
	left int64
	max  int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: the file has more than %d bytes", ErrLimit, b.max)
	}
	return n, err
}
