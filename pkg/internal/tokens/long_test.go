package tokens

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestLongTextsEnd has texts that need a turn of cleaning for every few bytes. A megabyte
// of them would take hours.
func TestLongTextsEnd(t *testing.T) {
	const most = time.Minute // it takes about a second
	tokenizer := newTokenizer(t)
	began := time.Now()
	for _, size := range []int{4000, 1 << 20} {
		for _, text := range []string{
			"&" + strings.Repeat("amp;", size/4), strings.Repeat("a", size), strings.Repeat("a\u0301", size/3), strings.Repeat("\u0301\u0327", size/4),
			strings.Repeat("&#", size/2), strings.Repeat("\x1b[", size/2), strings.Repeat("Σ", size/2), "x=" + strings.Repeat("Σ'", size/3),
		} {
			ids, err := tokenizer.EncodeTruncated(text)
			if err != nil || len(ids) != ContextLength || ids[0] != startOfText || !slices.Contains(ids, endOfText) {
				t.Errorf("%.8q and so on, %d bytes: got %v, %v, want %d ids from the start to the end", text, len(text), ids, err, ContextLength)
			}
		}
	}
	if took := time.Since(began); took > most {
		t.Errorf("the texts took %v, want less than %v", took, most)
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
		if !utf8.ValidString(got) || got != oneSpaced(got) || got != lower(got) && !strings.ContainsAny(got, "Σσςİİ") {
			t.Errorf("Clean(%q) = %q, want words of valid UTF-8 in lower case", text, got)
		}
	})
}
