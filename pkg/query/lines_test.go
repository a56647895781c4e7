package query

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// zeros is an endless reader without line ends.
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
	if _, err := ReadTemplates(endless); !errors.Is(err, detect.ErrLimit) || endless.taken > 1<<20+1 {
		t.Errorf("a file of comments without end: %v after %d bytes, want ErrLimit after %d", err, endless.taken, 1<<20+1)
	}
	for _, test := range []struct {
		file string
		want error
	}{
		{strings.Repeat("a {}\n", 1000), nil},
		{strings.Repeat("a {}\n", 1001), detect.ErrLimit},
		{"# " + strings.Repeat("a", 1020) + strings.Repeat("\n", 1<<20-1027) + "a {}\n", nil},
		{"# " + strings.Repeat("a", 1020) + strings.Repeat("\n", 1<<20-1026) + "a {}\n", detect.ErrLimit},
		{"{}" + strings.Repeat("a", 4094), nil},
		{"{}" + strings.Repeat("a", 4095), prompt.ErrTooLong},
		{"{}" + strings.Repeat("a", 1<<17), prompt.ErrTooLong},
	} {
		if _, err := ReadTemplates(strings.NewReader(test.file)); !errors.Is(err, test.want) {
			t.Errorf("%d bytes that start with %.10q: %v, want %v", len(test.file), test.file, err, test.want)
		}
	}
}

func TestReadTemplates(t *testing.T) {
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
			got, err := ReadTemplates(strings.NewReader(test.file))
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("ReadTemplates(%q) = %q, %v; want %q", test.file, got, err, test.want)
			}
		})
	}
}

func TestReadTemplatesErrors(t *testing.T) {
	broken := errors.New("broken pipe")
	tests := []struct {
		name string
		file io.Reader
		want error
		says string
	}{
		{"empty", strings.NewReader(""), prompt.ErrTemplate, "none in 0 lines"},
		{"only comments", strings.NewReader("# a {}\n\n"), prompt.ErrTemplate, "none in 2 lines"},
		{"a line without {}", strings.NewReader("a {}\n\na dog\n"), prompt.ErrTemplate, `line 3: `},
		{"a line with two", strings.NewReader("# x\na {} {}\n"), prompt.ErrTemplate, `line 2: `},
		{"invalid UTF-8", strings.NewReader("a {}\na \xff {}\n"), prompt.ErrUTF8, `line 2: `},
		{"a picture", strings.NewReader("\x89PNG\r\n\x1a\n\x00\x00"), prompt.ErrUTF8, `line 1: `},
		{"an endless line", strings.NewReader("a {}\n" + strings.Repeat("a", 70000)), prompt.ErrTooLong, `line 2: `},
		{"reading fails", io.MultiReader(strings.NewReader("a {}\n"), iotest.ErrReader(broken)), broken, `line 2: `},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadTemplates(test.file)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("ReadTemplates = %q, %v; want %v that says %q", got, err, test.want, test.says)
			}
		})
	}
}

func TestReadPhrases(t *testing.T) {
	got, err := ReadPhrases(strings.NewReader("\ufeff# walls\na wall\r\n\n  sky, 50% grey  \n"))
	if want := []string{"a wall", "sky, 50% grey"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("ReadPhrases gave %q, %v; want %q", got, err, want)
	}
	for _, test := range []struct {
		file string
		want error
		says string
	}{
		{"", prompt.ErrPhrase, "none in 0 lines"},
		{"a wall\na {} wall\n", prompt.ErrPhrase, "line 2: "},
		{"a wall\n\n&#32;\n", prompt.ErrPhrase, "line 3: "},
		{"a \xff wall", prompt.ErrUTF8, "line 1: "},
	} {
		got, err := ReadPhrases(strings.NewReader(test.file))
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || got != nil {
			t.Errorf("ReadPhrases(%q) = %q, %v; want %v that says %q", test.file, got, err, test.want, test.says)
		}
	}
}

func FuzzReadTemplates(f *testing.F) {
	for _, seed := range []string{"a {}.\n", "\ufeff# x\r\n{}\r\n", "a {} {}", "{{}}", "\xff{}", "\n\n"} {
		f.Add(seed)
	}
	shipped, err := os.ReadFile("../prompt/templates.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(shipped))
	f.Fuzz(func(t *testing.T, file string) {
		templates, err := ReadTemplates(strings.NewReader(file))
		if err != nil {
			if templates != nil {
				t.Fatalf("ReadTemplates(%q) returned both %q and %v", file, templates, err)
			}
			for _, known := range []error{prompt.ErrTemplate, prompt.ErrUTF8, prompt.ErrTooLong, detect.ErrLimit} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("ReadTemplates(%q) failed with %v, which is no sentinel", file, err)
		}
		if filled, err := prompt.Fill("dog", templates); err != nil || len(filled) == 0 {
			t.Fatalf("ReadTemplates(%q) gave %q, which can't be filled: %q, %v", file, templates, filled, err)
		}
		again, err := ReadTemplates(strings.NewReader(strings.Join(templates, "\n")))
		if err != nil || !slices.Equal(again, templates) {
			t.Fatalf("%q was read as %q; written and read again as %q, %v", file, templates, again, err)
		}
	})
}
