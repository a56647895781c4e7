package detect

import (
	"context"
	"fmt"

	"github.com/clipdet/clipdet/pkg/internal/tokens"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// Limits bound the queries of one call, so that texts from strangers can't use up all
// memory. The zero Limits are the defaults.
type Limits struct {
	// Queries is the largest number of queries of a call; 0 is 10,000. If so many are all
	// alike (Options.Alike), what that takes is 400 MB.
	Queries int
	// Phrases is the largest number of phrases and examples of a query, of negative
	// phrases of a query, and of templates; 0 is 1,000.
	Phrases int
	// Total bounds the number of queries times the number of rows of a query: the largest
	// number of phrasings and examples that one has, plus the largest number of negative
	// phrases. 0 is 250,000. The embeddings of so many rows take 512 MB at CLIP's width
	// of 512.
	Total int
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
	return l
}

// check fails with ErrLimit if there are too many queries or phrases. A query without
// phrases has one of each template. check doesn't read the texts.
func (l Limits) check(templates []string, queries []Query) error {
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

// Check checks everything about options and queries that Open and Queries check without a
// model, a device, an image or a file. It fails with
//
//   - ErrOption for an option out of range;
//   - ErrDevice for a misspelt device;
//   - ErrLimit for too many queries or phrases;
//   - ErrQuery if there is no query, if two have one name, or if a text, weight, box or
//     embedding can't be used;
//   - prompt.ErrTemplate for a text that isn't a template;
//   - prompt.ErrUTF8 for a text that isn't UTF-8;
//   - prompt.ErrTooLong for a phrasing of more than CLIP's 77 tokens.
func (o Options) Check(queries ...Query) error {
	if err := torch.CheckDevice(o.Device); err != nil {
		return fmt.Errorf("detect: %w", err)
	}
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	tokenizer, err := tokens.NewTokenizer()
	if err != nil {
		return fmt.Errorf("detect: %w", err)
	}
	_, err = o.read(context.Background(), tokenizer, queries)
	return err
}
