package tokens

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// words returns the pieces of a cleaned text that are encoded one by one. They are the
// matches of the reference's regular expression, ignoring case:
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

// nextWord returns text from its first word on.
func nextWord(text string) string {
	return strings.TrimLeftFunc(text, func(r rune) bool { return kindOf(r) == space })
}

// wordLength returns the number of bytes of the word that text starts with.
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

// prefixLength returns the number of bytes of text that match prefix, or 0 if text
// doesn't start with it. In lower-cased text only the long s still differs by case from a
// letter of the prefixes.
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
	// U+0345 equals the letter ι except for case, so no alternative of the reference's
	// expression matches it.
	case unicode.IsSpace(r), r == '\u0345':
		return space
	}
	return symbol
}
