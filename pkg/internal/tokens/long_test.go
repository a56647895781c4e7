package tokens

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestLongTextsEnd has texts that need a turn of cleaning for every few bytes. A megabyte
// of them would take hours.
func TestLongTextsEnd(t *testing.T) {
	tokenizer := newTokenizer(t)
	for _, size := range []int{4000, 1 << 20} {
		for _, text := range []string{
			"&" + strings.Repeat("amp;", size/4), strings.Repeat("a", size), strings.Repeat("a\u0301", size/3), strings.Repeat("\u0301\u0327", size/4),
			strings.Repeat("&#", size/2), strings.Repeat("\x1b[", size/2), strings.Repeat("Σ", size/2), "x=" + strings.Repeat("Σ'", size/3),
		} {
			_, _ = tokenizer.EncodeTruncated(text)
		}
	}
}

// TestNestedReferencesTakeOneTurn has nested references. Each level once took a turn of
// fix through the whole text.
func TestNestedReferencesTakeOneTurn(t *testing.T) {
	if got := unescapeClosed("a &" + strings.Repeat("amp;", 999) + "lt; &amp;AMP; b"); got != "a < & b" {
		t.Errorf("got %q, want all levels in one turn", got)
	}
}

// FuzzClean checks that cleaning ends, and returns words of valid UTF-8 in lower case
// with one space in between.
func FuzzClean(f *testing.F) {
	for _, g := range readGolden(f, "../../../testdata/tokens/golden.jsonl") {
		f.Add(g.Text)
	}
	for _, text := range []string{"&amp;amp;lt;", "&NotEqualTilde;", "<b>&amp;", "\u0085\u2028\x1b[31;1m", "ﬅŉǈ", "İΣ'", "&#x80;&#55296;&#1114112;"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = firstBytes(strings.ToValidUTF8(text, ""), MaxBytes)
		got := Clean(text)
		if !utf8.ValidString(got) || got != OneSpaced(got) || got != lower(got) && !strings.ContainsAny(got, "Σσςİİ") {
			t.Errorf("Clean(%q) = %q, want words of valid UTF-8 in lower case", text, got)
		}
	})
}
