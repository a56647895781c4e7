package detect

import (
	"context"
	"errors"
	"fmt"

	"github.com/clipdet/clipdet/pkg/internal/tokens"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// phrasebook has one row of tokens for each different phrase, so that each is encoded
// once.
type phrasebook struct {
	row    map[string]int64
	tokens [][]int64
}

func (b *phrasebook) add(tokenizer *tokens.Tokenizer, phrases []string) error {
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

// written holds the texts of queries.
type written struct {
	book      phrasebook
	lists     [][]string     // of phrases, each a file of the text cache
	phrasings [][]string     // of each query
	places    map[string]int // of the queries' names
	empty     []string       // templates filled with nothing, for SubtractEmpty
}

// read checks queries, and makes tokens of them, the background and the templates.
func (o Options) read(ctx context.Context, tokenizer *tokens.Tokenizer, queries []Query) (*written, error) {
	if err := o.Limits.check(o.Templates, queries); err != nil {
		return nil, fmt.Errorf("detect: queries: %w", err)
	}
	if len(queries) == 0 {
		return nil, fmt.Errorf("detect: %w: there is none", ErrQuery)
	}
	w := &written{places: make(map[string]int)}
	note := func(phrases []string) error {
		if len(phrases) > 0 {
			w.lists = append(w.lists, phrases)
		}
		return w.book.add(tokenizer, phrases)
	}
	for i, query := range queries {
		if ctx.Err() != nil { // strangers may send many long texts
			return nil, fmt.Errorf("detect: queries: %w", context.Cause(ctx))
		}
		if _, twice := w.places[query.Name]; twice {
			return nil, fmt.Errorf("detect: %w: two are named %q; give all phrases to one", ErrQuery, query.Name)
		}
		w.places[query.Name] = i
		phrasings, err := query.Phrasings(o.Templates)
		if err == nil {
			err = errors.Join(note(phrasings), note(query.Negatives))
		}
		if err != nil {
			return nil, fmt.Errorf("detect: query %q: %w", query.Name, err)
		}
		w.phrasings = append(w.phrasings, phrasings)
	}
	if err := note(o.Background); err != nil {
		return nil, fmt.Errorf("detect: background: %w", err)
	}
	if !o.SubtractEmpty {
		return w, nil
	}
	var err error
	if w.empty, err = prompt.Fill("", o.Templates); err == nil {
		err = note(w.empty)
	}
	if err != nil {
		return nil, fmt.Errorf("detect: templates: %w", err)
	}
	return w, nil
}
