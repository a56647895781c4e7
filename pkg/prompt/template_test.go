package prompt

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestFill(t *testing.T) {
	tests := []struct {
		name      string
		fill      string
		templates []string
		want      []string
		err       error
	}{
		{"in order", "dog", []string{"a {}.", "{}", "the {} is big"}, []string{"a dog.", "dog", "the dog is big"}, nil},
		{"the name is text", "{} %s", []string{"a {}."}, []string{"a {} %s."}, nil},
		{"no templates", "dog", nil, nil, ErrTemplate},
		{"no place for the name", "dog", []string{"a {}", "a dog"}, nil, ErrTemplate},
		{"two places", "dog", []string{"a {} and a {}"}, nil, ErrTemplate},
		{"invalid name", "\xff", []string{"a {}"}, nil, ErrUTF8},
		{"invalid template", "dog", []string{"a \xff {}"}, nil, ErrUTF8},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Fill(test.fill, test.templates)
			if !errors.Is(err, test.err) || !slices.Equal(got, test.want) {
				t.Errorf("Fill(%q, %q) = %q, %v; want %q, %v", test.fill, test.templates, got, err, test.want, test.err)
			}
		})
	}
}

// TestDefaults checks that the default phrasings are usable, and that a caller can change
// its own slice without changing the next one.
func TestDefaults(t *testing.T) {
	filled, err := Fill("dog", Templates())
	if err != nil || len(filled) != 7 {
		t.Fatalf("Fill gave %q, %v for the default templates, want 7 phrasings", filled, err)
	}
	many, err := Fill("dog", ManyTemplates())
	if err != nil || len(many) != 80 {
		t.Fatalf("Fill gave %q, %v for the many templates, want 80 phrasings", many, err)
	}
	seen := map[string]bool{}
	for _, text := range many {
		if seen[text] {
			t.Errorf("the many templates have %q twice", text)
		}
		seen[text] = true
	}
	if bare, err := Fill("dog", BareName()); err != nil || !slices.Equal(bare, []string{"dog"}) {
		t.Errorf("Fill gave %q, %v for the bare name", bare, err)
	}
	for _, text := range slices.Concat(filled, many, Background()) {
		if _, err := Tokens(text); err != nil {
			t.Errorf("Tokens(%q) failed: %v", text, err)
		}
	}
	for name, defaults := range map[string]func() []string{
		"Templates": Templates, "ManyTemplates": ManyTemplates, "BareName": BareName, "Background": Background,
	} {
		defaults()[0] = "changed"
		if defaults()[0] == "changed" {
			t.Errorf("%s gives all callers the same slice", name)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		text string
		want error
		says string
	}{
		{"a dog", nil, ""}, {"x=1|2", nil, ""}, {"", ErrPhrase, "it is empty"}, {" &#32;", ErrPhrase, "it is empty"}, {"\ufeff", ErrPhrase, "it is empty"},
		{"do\x00g", ErrPhrase, "control character"}, {"a {} dog", ErrPhrase, "only templates"}, {"caf\xe9", ErrUTF8, "it"},
		{strings.Repeat("a", 4096), nil, ""}, {strings.Repeat("a", 4097), ErrTooLong, "4097 bytes"},
	} {
		if err := Check("it", test.text); !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%.40q: got %v, want %v that says %q", test.text, err, test.want, test.says)
		}
	}
}
