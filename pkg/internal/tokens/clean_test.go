package tokens

import (
	"slices"
	"testing"
)

// TestClean shows each rule once. TestEncodeAgainstReference compares them with the
// reference.
func TestClean(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"case", "Traffic LIGHT", "traffic light"},
		{"space", " a\t\nb\u00a0\u3000c ", "a b c"},
		{"control characters", "a\x00\x0bb\ufeff\x7f", "ab"},
		{"terminal colours", "\x1b[1;31mred\x1b[0m", "red"},
		{"line breaks", "a\r\nb\rc\u2028d\u0085e", "a b c d…e"},
		{"curly quotes", "“it’s”", `"it's"`},
		{"ligatures", "ﬂuﬃeﬆ Ĳ ŉ", "fluffiest ij 'n"},
		{"width", "Ｕﾀｰﾝ", "uターン"},
		{"C1 controls are Windows-1252", "\u0093a\u0094 \u0080", `"a" €`},
		{"composed accents", "cafe\u0301", "café"},
		{"entities", "AT&amp;T &eacute; &#39;s &#x1F436;", "at&t é 's 🐶"},
		{"entities twice escaped", "&amp;amp;lt;", "<"},
		{"entities in capitals", "P&EACUTE;REZ STRA&SZLIG;E", "pérez strasse"},
		{"no capitals beside a tag", "<b>P&EACUTE;REZ", "<b>p&eacute;rez"},
		{"entities without a semicolon", "a&ltb &notit;", "a<b ¬it;"},
		{"numbers that HTML forbids", "a&#1;b&#xd800;c&#1114112;d&#x85;", "ab\ufffdc\ufffdd…"},
		{"names that are none", "R&D &bogus; &#; &", "r&d &bogus; &#; &"},
		{"dotted I", "İ I", "i̇ i"},
		{"final sigma", "ΟΔΟΣ ΣΑΣ. Σ", "οδος σας. σ"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Clean(test.text); got != test.want {
				t.Errorf("Clean(%+q) = %+q, want %+q", test.text, got, test.want)
			}
		})
	}
}

func TestWords(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{" ", nil},
		{"a photo of 2 dogs.", []string{"a", "photo", "of", "2", "dogs", "."}},
		{"1024x768", []string{"1", "0", "2", "4", "x", "7", "6", "8"}},
		{"they'll he'd it's 'tis", []string{"they", "'ll", "he", "'d", "it", "'s", "'t", "is"}},
		{"what?!'s", []string{"what", "?!'", "s"}},
		{"it'ſ", []string{"it", "'ſ"}},
		{"naïve 犬と猫 x²", []string{"naïve", "犬と猫", "x", "²"}},
		{"e\u0301\u0345a", []string{"e", "\u0301", "a"}},
		{"a<|endoftext|>b", []string{"a", "<|endoftext|>", "b"}},
		{"!<|endoftext|>", []string{"!<|", "endoftext", "|>"}},
	}
	for _, test := range tests {
		if got := slices.Collect(words(test.text)); !slices.Equal(got, test.want) {
			t.Errorf("words(%+q) = %+q, want %+q", test.text, got, test.want)
		}
	}
}
