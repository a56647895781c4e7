package prompt

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
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

// TestDefaults holds the default phrasings to be usable, and a caller's changes
// to stay with the caller.
func TestDefaults(t *testing.T) {
	tokenizer := newTokenizer(t)
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
		if _, err := tokenizer.Encode(text); err != nil {
			t.Errorf("Encode(%q) failed: %v", text, err)
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

func TestParseTemplates(t *testing.T) {
	tests := []struct {
		name, file string
		want       []string
	}{
		{"lines", "a {}.\nthe {}\n", []string{"a {}.", "the {}"}},
		{"no newline at the end", "a {}.", []string{"a {}."}},
		{"Windows", "\ufeffa {}.\r\nthe {}\r\n", []string{"a {}.", "the {}"}},
		{"two of Windows, joined", "\ufeffa {}.\r\n\ufeff# more\r\n\ufeff\ufeffthe {}\r\n", []string{"a {}.", "the {}"}},
		{"comments and empty lines", "# CLIP\n\n  \t\n  # more\n a {}. \n", []string{"a {}."}},
		{"# within a line is text", "a {} # 1\n", []string{"a {} # 1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseTemplates(strings.NewReader(test.file))
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("ParseTemplates(%q) = %q, %v; want %q", test.file, got, err, test.want)
			}
		})
	}
}

func TestParseTemplatesErrors(t *testing.T) {
	broken := errors.New("broken pipe")
	tests := []struct {
		name string
		file io.Reader
		want error
		says string
	}{
		{"empty", strings.NewReader(""), ErrTemplate, "none in 0 lines"},
		{"only comments", strings.NewReader("# a {}\n\n"), ErrTemplate, "none in 2 lines"},
		{"a line without {}", strings.NewReader("a {}\n\na dog\n"), ErrTemplate, `line 3: `},
		{"a line with two", strings.NewReader("# x\na {} {}\n"), ErrTemplate, `line 2: `},
		{"invalid UTF-8", strings.NewReader("a {}\na \xff {}\n"), ErrUTF8, `line 2: `},
		{"a picture", strings.NewReader("\x89PNG\r\n\x1a\n\x00\x00"), ErrUTF8, `line 1: `},
		{"an endless line", strings.NewReader("a {}\n" + strings.Repeat("a", 70000)), ErrTooLong, `line 2: `},
		{"reading fails", io.MultiReader(strings.NewReader("a {}\n"), iotest.ErrReader(broken)), broken, `line 2: `},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseTemplates(test.file)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("ParseTemplates = %q, %v; want %v that says %q", got, err, test.want, test.says)
			}
		})
	}
}

func TestParsePhrases(t *testing.T) {
	got, err := ParsePhrases(strings.NewReader("\ufeff# walls\na wall\r\n\n  sky, 50% grey  \n"))
	if want := []string{"a wall", "sky, 50% grey"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("ParsePhrases gave %q, %v; want %q", got, err, want)
	}
	for _, test := range []struct {
		file string
		want error
		says string
	}{
		{"", ErrPhrase, "none in 0 lines"},
		{"a wall\na {} wall\n", ErrPhrase, "line 2: "},
		{"a wall\n\n&#32;\n", ErrPhrase, "line 3: "},
		{"a \xff wall", ErrUTF8, "line 1: "},
	} {
		got, err := ParsePhrases(strings.NewReader(test.file))
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || got != nil {
			t.Errorf("ParsePhrases(%q) = %q, %v; want %v that says %q", test.file, got, err, test.want, test.says)
		}
	}
}

func FuzzParseTemplates(f *testing.F) {
	for _, seed := range []string{"a {}.\n", "\ufeff# x\r\n{}\r\n", "a {} {}", "{{}}", "\xff{}", "\n\n"} {
		f.Add(seed)
	}
	shipped, err := os.ReadFile("templates.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(shipped))
	f.Fuzz(func(t *testing.T, file string) {
		templates, err := ParseTemplates(strings.NewReader(file))
		if err != nil {
			if templates != nil {
				t.Fatalf("ParseTemplates(%q) gave both %q and %v", file, templates, err)
			}
			for _, known := range []error{ErrTemplate, ErrUTF8, ErrTooLong, ErrLimit} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("ParseTemplates(%q) failed with %v, which is no sentinel", file, err)
		}
		if filled, err := Fill("dog", templates); err != nil || len(filled) == 0 {
			t.Fatalf("ParseTemplates(%q) gave %q, which can't be filled: %q, %v", file, templates, filled, err)
		}
		again, err := ParseTemplates(strings.NewReader(strings.Join(templates, "\n")))
		if err != nil || !slices.Equal(again, templates) {
			t.Fatalf("%q was read as %q; written and read again as %q, %v", file, templates, again, err)
		}
	})
}
