package tokens

import (
	"bytes"
	"compress/gzip"
	_ "embed" // for the vocabulary
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/sugarme/tokenizer/model/bpe"
)

const (
	// ContextLength is the number of ids that CLIP's text tower reads: the start, at most
	// 75 for the text, the end, and zeros.
	ContextLength = 77

	byteTokens  = 256
	mergeTokens = 48894
	startOfText = 2*byteTokens + mergeTokens // 49406
	endOfText   = startOfText + 1            // 49407

	startMark = "<|startoftext|>"
	endMark   = "<|endoftext|>"

	// MaxBytes is the number of bytes of a text that are read. It bounds the work on one
	// text. The context takes at most 75 tokens, and the longest have 32 bytes.
	MaxBytes = 4096
)

// ErrTooLong is returned for a text of more than ContextLength ids, including start and
// end, or of more than MaxBytes bytes.
var ErrTooLong = errors.New("text is too long for CLIP")

// merges is CLIP's vocabulary. VOCABULARY.md describes its origin and form.
//
//go:embed merges.gz
var merges []byte

// Tokenizer is CLIP's byte pair encoding. A word is a sequence of bytes, the last of
// which is marked. The best ranked pair of neighbours is joined, until the vocabulary has
// none of the pairs that are left. It is safe for concurrent use.
type Tokenizer struct {
	pairs bpe.Merges
}

// NewTokenizer reads the embedded vocabulary, which then takes about 4 MB. It fails only
// if the program's copy of it is damaged.
func NewTokenizer() (*Tokenizer, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(merges))
	if err != nil {
		return nil, fmt.Errorf("embedded vocabulary: %w", err)
	}
	ids, err := io.ReadAll(unzipped)
	if err != nil {
		return nil, fmt.Errorf("embedded vocabulary: %w", err)
	}
	if len(ids) != 4*mergeTokens {
		return nil, fmt.Errorf("embedded vocabulary: %d bytes, want %d", len(ids), 4*mergeTokens)
	}
	left, right := ids[:2*mergeTokens], ids[2*mergeTokens:]
	pairs := make(bpe.Merges, mergeTokens)
	for rank := range mergeTokens {
		pair := bpe.Pair{
			C1: int(binary.LittleEndian.Uint16(left[2*rank:])),
			C2: int(binary.LittleEndian.Uint16(right[2*rank:])),
		}
		pairs[pair] = bpe.PairVal{Rank: rank, NewId: 2*byteTokens + rank}
	}
	return &Tokenizer{pairs}, nil
}

// Encode returns the ContextLength ids of text: 49406 for the start, the ids of its
// words, 49407 for the end, and zeros. A text without words, such as "", has only the
// start and the end. Encode fails with ErrTooLong if text doesn't fit, and with ErrUTF8
// if it is not valid UTF-8. As in the reference, <|startoftext|> and <|endoftext|> within
// text are the ids of the start and the end.
func (t *Tokenizer) Encode(text string) ([]int64, error) {
	ids, unread, err := t.encode(text)
	if err != nil {
		return nil, err
	}
	if unread > 0 {
		return nil, fmt.Errorf("%w: %d bytes, starting with %.40q", ErrTooLong, len(text), text)
	}
	if len(ids) > ContextLength {
		return nil, fmt.Errorf("%w: %d tokens where %d fit, starting with %.40q",
			ErrTooLong, len(ids)-2, ContextLength-2, text)
	}
	return padded(ids), nil
}

// EncodeTruncated is Encode for text of any length. It leaves out the ids that don't fit,
// and the end comes last. It fails only with ErrUTF8.
func (t *Tokenizer) EncodeTruncated(text string) ([]int64, error) {
	ids, _, err := t.encode(text)
	if err != nil {
		return nil, err
	}
	if len(ids) > ContextLength {
		ids = append(ids[:ContextLength-1], endOfText)
	}
	return padded(ids), nil
}

// padded fills ids up to ContextLength with zeros.
func padded(ids []int64) []int64 {
	return append(ids, make([]int64, ContextLength-len(ids))...)
}

// firstBytes returns text, or as many of its first characters as fit into limit bytes.
func firstBytes(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// encode returns the start, all ids of text's first MaxBytes bytes, and the end. unread
// is the number of bytes after those.
func (t *Tokenizer) encode(text string) (ids []int64, unread int, err error) {
	if err := CheckUTF8("text", text); err != nil {
		return nil, 0, err
	}
	text = strings.TrimSpace(text)
	start := firstBytes(text, MaxBytes)
	ids = append(make([]int64, 0, ContextLength), startOfText)
	for word := range words(Clean(start)) {
		if ids, err = t.appendWord(ids, word); err != nil {
			return nil, 0, err
		}
	}
	return append(ids, endOfText), len(text) - len(start), nil
}

// appendWord appends the ids of a word of at least one byte.
func (t *Tokenizer) appendWord(ids []int64, word string) ([]int64, error) {
	switch word {
	case startMark:
		return append(ids, startOfText), nil
	case endMark:
		return append(ids, endOfText), nil
	}
	tokens := bpe.Word{Symbols: make(bpe.Symbols, len(word))}
	for i := range len(word) {
		tokens.Symbols[i] = bpe.Symbol{C: byteToken(word[i]), Len: 1}
	}
	tokens.Symbols[len(word)-1].C += byteTokens
	// Word.MergeAll doesn't say which of two equal pairs it joins first.
	for pair, joined, found := t.best(tokens.Symbols); found; pair, joined, found = t.best(tokens.Symbols) {
		if _, err := tokens.Merge(pair.C1, pair.C2, joined); err != nil {
			return nil, fmt.Errorf("joining the tokens of %.40q: %w", word, err)
		}
	}
	for _, token := range tokens.Symbols {
		ids = append(ids, int64(token.C))
	}
	return ids, nil
}

// best returns the best ranked pair of neighbours, and the token that it is joined to.
func (t *Tokenizer) best(tokens bpe.Symbols) (pair bpe.Pair, joined int, found bool) {
	rank := mergeTokens
	for i := 1; i < len(tokens); i++ {
		candidate := bpe.Pair{C1: tokens[i-1].C, C2: tokens[i].C}
		if value, known := t.pairs[candidate]; known && value.Rank < rank {
			pair, joined, rank, found = candidate, value.NewId, value.Rank, true
		}
	}
	return pair, joined, found
}

// byteToken returns the id of a byte that doesn't end its word. The order is the order of
// the reference's bytes_to_unicode: the bytes that Latin-1 prints come first.
func byteToken(b byte) int {
	switch {
	case b >= '!' && b <= '~':
		return int(b) - '!'
	case b >= 0xa1 && b <= 0xac:
		return int(b) - 0xa1 + 94
	case b >= 0xae:
		return int(b) - 0xae + 106
	case b <= ' ':
		return int(b) + 188
	case b <= 0xa0: // from 0x7f
		return int(b) - 0x7f + 221
	}
	return 255 // 0xad
}
