package tokens

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// words are the pieces of a cleaned text that are encoded one by one: what the
// reference's regular expression finds, ignoring case,
//
//	<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
func words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for text = nextWord(text); text != ""; text = nextWord(text) {
			length := wordLength(text)
			if !yield(text[:length]) {
				return
			}
			text = text[length:]
		}
	}
}

// nextWord drops what precedes the first word.
func nextWord(text string) string {
	return strings.TrimLeftFunc(text, func(r rune) bool { return kindOf(r) == space })
}

// wordLength is the number of bytes of the word that text starts with.
func wordLength(text string) int {
	for _, fixed := range [...]string{startMark, endMark, "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if length := prefixLength(text, fixed); length > 0 {
			return length
		}
	}
	first, length := utf8.DecodeRuneInString(text)
	kind := kindOf(first)
	if kind == number {
		return length
	}
	rest := strings.TrimLeftFunc(text[length:], func(r rune) bool { return kindOf(r) == kind })
	return len(text) - len(rest)
}

// prefixLength is how many bytes of text match prefix, 0 if it doesn't start
// with it. In lower-cased text the only letter left with another case is the
// long s.
func prefixLength(text, prefix string) int {
	rest := text
	for _, want := range prefix {
		got, length := utf8.DecodeRuneInString(rest)
		if got != want && !(want == 's' && got == 'ſ') {
			return 0
		}
		rest = rest[length:]
	}
	return len(text) - len(rest)
}

type kind int

const (
	symbol kind = iota
	letter
	number
	space
)

func kindOf(r rune) kind {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.IsSpace(r), r == '\u0345': // which equals the letter ι but for case, so that no alternative matches it
		return space
	}
	return symbol
}
