package tokens

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// golden is a line that testdata/make/tokens_golden.py writes. IDs may be more than
// ContextLength.
type golden struct {
	Class string
	Text  string
	IDs   []int64
}

var tokens = flag.String("tokens", "", "a further `file` of texts with their tokens, by testdata/make/tokens_golden.py")

func readGolden(t testing.TB, path string) []golden {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []golden
	for lines := json.NewDecoder(bufio.NewReader(file)); lines.More(); {
		var line golden
		if err := lines.Decode(&line); err != nil {
			t.Fatalf("%s, text %d: %v", path, len(all)+1, err)
		}
		all = append(all, line)
	}
	return all
}

func newTokenizer(t testing.TB) *Tokenizer {
	t.Helper()
	tokenizer, err := NewTokenizer()
	if err != nil {
		t.Fatal(err)
	}
	return tokenizer
}

// cut returns ids as the reference truncates and pads them.
func cut(ids []int64) []int64 {
	if len(ids) > ContextLength {
		ids = append(slices.Clone(ids[:ContextLength-1]), 49407)
	}
	return append(slices.Clone(ids), make([]int64, ContextLength-len(ids))...)
}

// agrees reports whether Encode and EncodeTruncated treat a text as the reference does.
func agrees(t *testing.T, tokenizer *Tokenizer, g golden) bool {
	t.Helper()
	truncated, err := tokenizer.EncodeTruncated(g.Text)
	if err != nil {
		t.Errorf("EncodeTruncated(%q) failed: %v", g.Text, err)
		return false
	}
	whole, err := tokenizer.Encode(g.Text)
	if len(g.IDs) > ContextLength {
		return errors.Is(err, ErrTooLong) && slices.Equal(truncated, cut(g.IDs))
	}
	return err == nil && slices.Equal(whole, truncated) && slices.Equal(truncated, cut(g.IDs))
}

// TestEncodeAgainstReference compares ids with OpenAI's SimpleTokenizer. All must agree
// in each class, except in the three that the package documentation names.
func TestEncodeAgainstReference(t *testing.T) {
	differ := []string{"mojibake", "newer letters", "stacked marks"}
	tokenizer := newTokenizer(t)
	files := []string{"../../../testdata/tokens/golden.jsonl"}
	if *tokens != "" {
		files = append(files, *tokens)
	}
	for _, file := range files {
		texts, same := map[string]int{}, map[string]int{}
		for _, g := range readGolden(t, file) {
			texts[g.Class]++
			if agrees(t, tokenizer, g) {
				same[g.Class]++
			} else if !slices.Contains(differ, g.Class) {
				got, err := tokenizer.EncodeTruncated(g.Text)
				t.Errorf("%s: %+q gives\n%v, %v, but the reference\n%v", g.Class, g.Text, got, err, g.IDs)
			}
		}
		allTexts, allSame := 0, 0
		for _, class := range slices.Sorted(maps.Keys(texts)) {
			t.Logf("%-24s %6d of %6d the same", class, same[class], texts[class])
			allTexts, allSame = allTexts+texts[class], allSame+same[class]
		}
		t.Logf("%-24s %6d of %6d the same, %.2f %%", "all", allSame, allTexts, 100*float64(allSame)/float64(allTexts))
	}
}

func TestEncodeErrors(t *testing.T) {
	tokenizer := newTokenizer(t)
	tests := []struct {
		name, text string
		want       error // of Encode
		truncated  error // of EncodeTruncated
	}{
		{"75 tokens fit", strings.Repeat("dog ", 75), nil, nil},
		{"76 tokens", strings.Repeat("dog ", 76), ErrTooLong, nil},
		{"one word of 4096 bytes", strings.Repeat("a", 4096), ErrTooLong, nil},
		{"a megabyte", strings.Repeat("dog ", 1<<18), ErrTooLong, nil},
		{"space around doesn't count", strings.Repeat(" ", 5000) + "dog" + strings.Repeat("\n", 5000), nil, nil},
		{"4 kB of entities for one sign", "&" + strings.Repeat("amp;", 1023), nil, nil},
		{"the 4096th byte is within a character", strings.Repeat("dog ", 1023) + "dogé dog", ErrTooLong, nil},
		{"Latin-1", "caf\xe9", ErrUTF8, ErrUTF8},
		{"half a character", "caf\xc3", ErrUTF8, ErrUTF8},
		{"a surrogate", "\xed\xa0\x80", ErrUTF8, ErrUTF8},
		{"invalid beyond the part that is read", strings.Repeat("dog ", 2000) + "\xff", ErrUTF8, ErrUTF8},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := tokenizer.Encode(test.text); !errors.Is(err, test.want) {
				t.Errorf("Encode failed with %v, want %v", err, test.want)
			}
			if _, err := tokenizer.EncodeTruncated(test.text); !errors.Is(err, test.truncated) {
				t.Errorf("EncodeTruncated failed with %v, want %v", err, test.truncated)
			}
		})
	}
}

func TestTokenizerIsConcurrent(t *testing.T) {
	tokenizer := newTokenizer(t)
	want, err := tokenizer.Encode("a photo of the large dog.")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				if got, err := tokenizer.Encode("a photo of the large dog."); err != nil || !slices.Equal(got, want) {
					t.Errorf("Encode gave %v, %v beside other calls, %v alone", got, err, want)
				}
			}
		})
	}
	group.Wait()
}

func FuzzEncode(f *testing.F) {
	for _, g := range readGolden(f, "../../../testdata/tokens/golden.jsonl") {
		f.Add(g.Text)
	}
	for _, text := range []string{"", "\xff", "caf\xe9", "a\u0301\u0301", "&#", "&#x110000;", "&amp;amp;lt;", "\x1b[;", "'ſ", "<|endoftext|"} {
		f.Add(text)
	}
	tokenizer := newTokenizer(f)
	f.Fuzz(func(t *testing.T, text string) {
		ids, err := tokenizer.EncodeTruncated(text)
		if valid := utf8.ValidString(text); valid != (err == nil) || !valid && !errors.Is(err, ErrUTF8) {
			t.Fatalf("EncodeTruncated(%q): valid UTF-8 is %v, the error %v", text, valid, err)
		}
		whole, wholeErr := tokenizer.Encode(text)
		if err != nil {
			return
		}
		if wholeErr == nil && !slices.Equal(whole, ids) || wholeErr != nil && !errors.Is(wholeErr, ErrTooLong) {
			t.Fatalf("Encode(%q) = %v, %v, but EncodeTruncated gives %v", text, whole, wholeErr, ids)
		}
		if len(ids) != ContextLength || ids[0] != 49406 || !slices.Contains(ids[1:], 49407) {
			t.Fatalf("EncodeTruncated(%q) = %v, want %d ids from 49406 on that reach 49407", text, ids, ContextLength)
		}
		for _, id := range ids {
			if id < 0 || id > endOfText {
				t.Fatalf("EncodeTruncated(%q) has id %d, want one up to %d", text, id, endOfText)
			}
		}
	})
}

func BenchmarkNewTokenizer(b *testing.B) {
	for b.Loop() {
		if _, err := NewTokenizer(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	tokenizer := newTokenizer(b)
	texts := []string{"itap of a traffic light.", "a bad photo of the traffic light.", "a photo of the large traffic light."}
	n := 0
	for b.Loop() {
		if _, err := tokenizer.Encode(texts[n%len(texts)]); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "strings/s")
}
