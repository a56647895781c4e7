package prompt

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func queries(n, phrases int) []Query {
	list := make([]Query, n)
	for i := range list {
		list[i] = Query{Name: fmt.Sprint(i), Phrases: make([]string, phrases)}
	}
	return list
}

func TestLimitsCheck(t *testing.T) {
	seven := Templates()
	for _, test := range []struct {
		name      string
		limits    Limits
		templates []string
		queries   []Query
		says      string // "": it passes
	}{
		{"the default", Limits{}, seven, queries(10_000, 0), ""},
		{"a query too many", Limits{}, seven, queries(10_001, 0), "10001 queries, and 10000"},
		{"a limit of one's own", Limits{Queries: 2}, seven, queries(3, 0), "3 queries, and 2"},
		{"many phrases", Limits{}, seven, queries(250, 1000), ""},
		{"a phrase too many", Limits{}, seven, queries(1, 1001), "1001 phrases"},
		{"a template too many", Limits{Phrases: 6}, seven, queries(1, 1), "7 templates, and 6"},
		{"one long query among many", Limits{}, seven, append(queries(9999, 0), queries(1, 500)...), "10000 queries of up to 500"},
		{"rows of one's own", Limits{Total: 69_999}, seven, queries(10_000, 0), "70000 rows, and there are 69999"},
	} {
		err := test.limits.Check(test.templates, test.queries...)
		if test.says == "" && err != nil || test.says != "" && (!errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: %v, want ErrLimit that says %q", test.name, err, test.says)
		}
	}
}

// zeros is a file without end, and without the end of a line.
type zeros struct{ taken int }

func (z *zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '#'
		if z.taken++; z.taken%100 == 0 {
			p[i] = '\n'
		}
	}
	return len(p), nil
}

func TestTemplatesAreBounded(t *testing.T) {
	endless := &zeros{}
	if _, err := ParseTemplates(endless); !errors.Is(err, ErrLimit) || endless.taken > 1<<20+1 {
		t.Errorf("a file of comments without end: %v after %d bytes, want ErrLimit after %d", err, endless.taken, 1<<20+1)
	}
	for _, test := range []struct {
		file   string
		limits Limits
		want   error
	}{
		{strings.Repeat("a {}\n", 1000), Limits{}, nil},
		{strings.Repeat("a {}\n", 1001), Limits{}, ErrLimit},
		{"a {}\nb {}\n", Limits{Phrases: 1}, ErrLimit},
		{"a {}\nb {}\n", Limits{FileBytes: 10}, nil},
		{"a {}\nb {}\n", Limits{FileBytes: 9}, ErrLimit},
		{"a {}\nb {}\n", Limits{FileBytes: math.MaxInt64}, nil},
		{"{}" + strings.Repeat("a", 4094), Limits{}, nil},
		{"{}" + strings.Repeat("a", 4095), Limits{}, ErrTooLong},
		{"{}" + strings.Repeat("a", 1<<17), Limits{}, ErrTooLong},
	} {
		if _, err := test.limits.ParseTemplates(strings.NewReader(test.file)); !errors.Is(err, test.want) {
			t.Errorf("%d bytes that start with %.10q, %+v: %v, want %v", len(test.file), test.file, test.limits, err, test.want)
		}
	}
}

// TestLongTextsEnd has texts whose cleaning takes a turn for each few bytes, so that a megabyte would take hours.
func TestLongTextsEnd(t *testing.T) {
	tokenizer := newTokenizer(t)
	for _, size := range []int{4000, 1 << 20} {
		for _, text := range []string{
			"&" + strings.Repeat("amp;", size/4), strings.Repeat("a", size), strings.Repeat("a\u0301", size/3), strings.Repeat("\u0301\u0327", size/4),
			strings.Repeat("&#", size/2), strings.Repeat("\x1b[", size/2), "x=" + strings.Repeat("|", size), strings.Repeat("Σ", size/2), "x=" + strings.Repeat("Σ'", size/3),
		} {
			_, _ = ParseQuery(text)
			_, _ = tokenizer.EncodeTruncated(text)
		}
	}
}

// TestNestedReferencesTakeOneTurn has what once took a turn of fix, through all of the text, for each of its levels.
func TestNestedReferencesTakeOneTurn(t *testing.T) {
	if got := unescapeClosed("a &" + strings.Repeat("amp;", 999) + "lt; &amp;AMP; b"); got != "a < & b" {
		t.Errorf("got %q, want all levels in one turn", got)
	}
}

// FuzzClean holds that cleaning ends and gives words of valid UTF-8 in lower case, with one space in between.
func FuzzClean(f *testing.F) {
	for _, g := range readGolden(f, "../../testdata/tokens/golden.jsonl") {
		f.Add(g.Text)
	}
	for _, text := range []string{"&amp;amp;lt;", "&NotEqualTilde;", "<b>&amp;", "\u0085\u2028\x1b[31;1m", "ﬅŉǈ", "İΣ'", "&#x80;&#55296;&#1114112;"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = firstBytes(strings.ToValidUTF8(text, ""), maxBytes)
		got := clean(text)
		if !utf8.ValidString(got) || got != oneSpaced(got) || got != lower(got) && !strings.ContainsAny(got, "Σσςİİ") {
			t.Errorf("clean(%q) = %q, want words of valid UTF-8 in lower case", text, got)
		}
	})
}
