package intake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/clipdet/clipdet/pkg/pixels"
)

// tree creates a new current directory with empty files.
func tree(t *testing.T, names ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	all := fstest.MapFS{}
	for _, name := range names {
		all[name] = new(fstest.MapFile)
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			delete(all, name)
			all[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
		}
	}
	if err := os.CopyFS(".", all); err != nil {
		t.Fatal(err)
	}
}

func TestExpand(t *testing.T) {
	tree(t, "b.png", "a.JPG", "notes.txt", "[1].png", "d/2.webp", "d/1.gif", "d/.hidden.png", "d/notes.txt", "d/sub.png/x.png", "empty/", "words/notes.txt",
		"phone/a.jfif", "phone/b.jpe", "phone/c.mpo", "phone/deep/er/d.PNG", "phone/deep/e.heic", "phone/.cache/f.png",
		"set/[new]/[x]/a.png", "set/[new]/b.png", "set/n/c.png", "set/{a,b}/d.png", "linked/z.png")
	if err := errors.Join(os.Symlink("d", "link"), os.Symlink("../d", "linked/d"), os.Symlink("../phone", "linked/phone.png")); err != nil {
		t.Fatal(err)
	}
	deep := Flags{Recursive: true}
	tests := []struct {
		flags Flags
		args  string
		want  string // paths; a failed one has a !
		list  bool
		notes string
	}{
		{Flags{}, "b.png", "b.png", false, ""},
		{Flags{}, "notes.txt", "notes.txt", false, ""}, // a named file is always tried
		{Flags{}, "none.png", "none.png", false, ""},
		{Flags{}, "b.png a.JPG", "b.png a.JPG", true, ""},
		{Flags{}, "d", "d/1.gif d/2.webp", true, "d: not read: 1 .txt, 1 directory (--recursive reads it)"},
		{Flags{}, "d/", "d/1.gif d/2.webp", true, "d/: not read: 1 .txt, 1 directory (--recursive reads it)"},
		{Flags{}, "link", "link/1.gif link/2.webp", true, "link: not read: 1 .txt, 1 directory (--recursive reads it)"},
		{deep, "linked", "linked/z.png", true, "linked: not read: 2 links to directories"},
		{deep, "d", "d/1.gif d/2.webp d/sub.png/x.png", true, "d: not read: 1 .txt"},
		{Flags{}, "phone", "phone/a.jfif phone/b.jpe phone/c.mpo", true, "phone: not read: 1 directory (--recursive reads it)"},
		{deep, "phone", "phone/a.jfif phone/b.jpe phone/c.mpo phone/deep/er/d.PNG", true, "phone: not read: 1 .heic"},
		{Flags{}, "phone/**/*.PNG", "phone/deep/er/d.PNG", true, ""},
		{Flags{}, "**/[ab].*", "a.JPG b.png phone/a.jfif phone/b.jpe set/[new]/[x]/a.png set/[new]/b.png", true, ""},
		{Flags{}, "phone/**", "phone/a.jfif phone/b.jpe phone/c.mpo phone/deep/er/d.PNG", true, "phone/**: not read: 1 .heic"},
		{Flags{}, "none/**", "none/**!", true, ""},
		{Flags{}, "*.png", "[1].png b.png", true, ""},
		{Flags{}, "[1].png", "[1].png", false, ""}, // the file precedes the pattern
		{Flags{}, "[ab].*", "a.JPG b.png", true, ""},
		{Flags{}, "b.png ./b.png *.png", "b.png ./b.png [1].png b.png", true, ""},
		{Flags{}, "*.tiff b.png", "*.tiff! b.png", true, ""},
		// Folders whose names look like patterns.
		{Flags{}, "set/[new]", "set/[new]/b.png", true, "set/[new]: not read: 1 directory (--recursive reads it)"},
		{Flags{}, "set/[new]/*.png", "set/[new]/b.png", true, ""},
		{Flags{}, "set/[new]/**/*.png", "set/[new]/[x]/a.png set/[new]/b.png", true, ""},
		{Flags{}, "./set/[new]/[x]/[ab].png", "set/[new]/[x]/a.png", true, ""},
		{Flags{}, "set/{a,b}/*", "set/{a,b}/d.png", true, ""},
		{Flags{}, "set/[m-o]/*", "set/n/c.png", true, ""},
		{Flags{}, "[a", "[a!", true, ""},
		{Flags{}, "**/[a", "**/[a!", true, ""},
		{Flags{}, "empty words", "empty! words!", true, ""},
		{Flags{}, "-", "-", false, ""},
		{Flags{}, "https://u:secret@example.org/a.jpg?b=*", "https://u:xxxxx@example.org/a.jpg?b=*", false, ""},
		{Flags{}, "http:///a.jpg http://%zz", "http:///a.jpg! http://%zz!", true, ""},
	}
	for _, test := range tests {
		found, err := test.flags.Expand(strings.Fields(test.args), strings.NewReader(""))
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		if got := paths(found.Inputs); got != test.want || found.List != test.list || strings.Join(found.Notes, "; ") != test.notes {
			t.Errorf("%s, %+v: got %s, list %v, notes %q; want %s, %v, %q", test.args, test.flags, got, found.List, found.Notes, test.want, test.list, test.notes)
		}
	}
}

// paths joins the inputs' paths. A failed one has a ! after it.
func paths(inputs []Input) string {
	var got []string
	for _, in := range inputs {
		mark := ""
		if in.Err != nil {
			mark = "!"
		}
		got = append(got, in.Path+mark)
	}
	return strings.Join(got, " ")
}

func TestFilesFrom(t *testing.T) {
	tree(t, "a b.png", "d/1.png", "*.png")
	if err := os.WriteFile("list", []byte("d\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, file, stdin string
		args, want, says  string
	}{
		{"lines", "-", "a b.png\nd\n\nnone.png", "", "a b.png d/1.png none.png", ""},
		{"of Windows", "-", "\ufeffa b.png\r\nd\r\n", "", "a b.png d/1.png", ""},
		{"with NULs", "-", "a b.png\x00new\nline.png\x00", "", "a b.png new\nline.png", ""},
		{"no pattern", "-", "*.png\n", "", "*.png", ""},
		{"a URL", "-", "https://example.org/a.png\n", "", "https://example.org/a.png", ""},
		{"a file, after an argument", "list", "", "a", "a d/1.png", ""},
		{"and a picture on stdin", "list", "", "-", "- d/1.png", ""},
		{"nothing", "-", "\n\n", "", "", "names no picture"},
		{"stdin twice", "-", "x", "-", "", "read once"},
		{"- in a list", "-", "-\n", "", "", "stdin"},
		{"no such file", "none", "", "", "", "no such file"},
	} {
		f := Flags{FilesFrom: test.file}
		found, err := f.Expand(strings.Fields(test.args), strings.NewReader(test.stdin))
		if test.says != "" {
			if err == nil || !strings.Contains(err.Error(), test.says) || len(found.Inputs) > 0 {
				t.Errorf("%s: %v, want an error that says %q", test.name, err, test.says)
			}
			continue
		}
		if got := paths(found.Inputs); err != nil || got != test.want || !found.List {
			t.Errorf("%s: got %q, list %v, %v; want %q and a list", test.name, got, found.List, err, test.want)
		}
	}
	if _, err := readList(strings.NewReader("123456"), 5); err == nil || !strings.Contains(err.Error(), "more than 5 bytes") {
		t.Errorf("a list that is too long: %v", err)
	}
	if _, err := new(Flags).Expand([]string{"-", "-"}, strings.NewReader("")); err == nil {
		t.Error("- twice is taken")
	}
}

// FuzzReadList checks that the names of a list, written again before NULs, are the same
// list.
func FuzzReadList(f *testing.F) {
	for _, seed := range []string{"a\nb\n", "a\x00b\nc\x00", "\ufeffa\r\n\r\n", "\r", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		names, err := readList(strings.NewReader(list), 1000)
		if err != nil {
			return
		}
		again, err := readList(strings.NewReader(strings.Join(names, "\x00")+"\x00"), 10000)
		if err != nil || !slices.Equal(again, names) {
			t.Fatalf("%q gave %q, and these again %q, %v", list, names, again, err)
		}
	})
}

func TestRoot(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.MkdirAll("a/b/c", 0o755), os.MkdirAll("ab", 0o755)); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"a/b": "a/b", "a/b/": "a/b", "a/b/x.jpg": "a/b", "a/b a/b/c": "a/b", "a/b/c a/b": "a/b", "a/b/c a/x.jpg": "a", "a ab": ".", "x.jpg": ".",
		"a/b/*.jpg": "a/b", "a/**": "a", "a/**/x.jpg a/b": "a", "*/b/*.jpg": ".", "a ../x.jpg": "..", "a /x.jpg": "/", "- a/b": "a/b",
	} {
		found, err := new(Flags).Expand(strings.Fields(args), strings.NewReader(""))
		if !filepath.IsAbs(want) {
			want = filepath.Join(here, want)
		}
		if err != nil || found.Root != want {
			t.Errorf("%s: got %q (%v), want %q", args, found.Root, err, want)
		}
	}
	found, err := new(Flags).Expand([]string{"-"}, strings.NewReader(""))
	if err != nil || found.Root != "" {
		t.Errorf("stdin: got %q (%v), want none", found.Root, err)
	}
}

func TestImageIDs(t *testing.T) {
	tests := []struct {
		paths string
		want  []int64
	}{
		{"000000000139.jpg x/42.png", []int64{139, 42}},
		{"COCO_val2014_000000000139.jpg", []int64{139}},
		{"7.jpg a.jpg", []int64{1, 2}},
		{"7.jpg d/7.jpg", []int64{1, 2}},
		{"99999999999999999999.jpg", []int64{1}},
	}
	for _, test := range tests {
		var inputs []Input
		for _, path := range strings.Fields(test.paths) {
			inputs = append(inputs, Input{Path: path})
		}
		if got := ImageIDs(inputs); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.paths, got, test.want)
		}
	}
}

func TestDecodeAhead(t *testing.T) {
	good := filepath.Join("..", "..", "..", "..", "testdata", "formats", "420.jpg")
	var inputs []Input
	for i := range 20 {
		switch i % 3 {
		case 0:
			inputs = append(inputs, Input{Path: good})
		case 1:
			inputs = append(inputs, Input{Path: fmt.Sprintf("none-%d.png", i)})
		case 2:
			inputs = append(inputs, Input{Path: "x", Err: fmt.Errorf("failed %d", i)})
		}
	}
	next := 0
	for picture, err := range DecodeAhead(context.Background(), inputs, pixels.Limits{}, 3) {
		switch next % 3 {
		case 0:
			if err != nil || picture == nil || picture.Bounds().Empty() {
				t.Errorf("input %d: got %v and %v, want a picture", next, picture, err)
			}
		case 1:
			if picture != nil || err == nil || !strings.Contains(err.Error(), inputs[next].Path) {
				t.Errorf("input %d: got %v and %v, want an error that names %s", next, picture, err, inputs[next].Path)
			}
		case 2:
			if picture != nil || !errors.Is(err, inputs[next].Err) {
				t.Errorf("input %d: got %v and %v, want %v", next, picture, err, inputs[next].Err)
			}
		}
		next++
	}
	if next != len(inputs) {
		t.Errorf("got %d pictures and errors, want %d", next, len(inputs))
	}
}

// A picture that is no longer there was taken for the arguments that cover it.
func TestCovers(t *testing.T) {
	tree(t, "ph/x.jpg", "ph/a/b/x.jpg", "[new] p/x.jpg")
	for _, test := range []struct {
		arg, path string
		want      bool
	}{
		{"ph", "ph/y.jpg", true},
		{"./ph/", "ph/y.jpg", true},
		{"ph", "ph/a/y.jpg", false},
		{"ph/y.jpg", "ph/y.jpg", false}, // itself
		{"gone", "gone/y.jpg", false},   // a directory that is not there may be not mounted
		{"ph/*.jpg", "ph/y.jpg", true},
		{"ph/*.jpg", "ph/a/y.jpg", false},
		{"ph/*", "ph/a/y.jpg", true},
		{"ph/**/*.jpg", "ph/y.jpg", true},
		{"ph/**/*.jpg", "ph/a/b/y.jpg", true},
		{"ph/**/*.jpg", "ph/a/b/y.png", false},
		{"ph/**", "ph/a/b/y.jpg", true},
		{"[new] p/*.jpg", "[new] p/y.jpg", true},
		{"[new] p/*.jpg", "n p/y.jpg", false},
		{"ph/[", "ph/y.jpg", false},
	} {
		if got := new(Flags).Covers(test.arg, test.path); got != test.want {
			t.Errorf("Covers(%q, %q) is %v, want %v", test.arg, test.path, got, test.want)
		}
	}
	for _, test := range []struct {
		arg, path string
		want      bool
	}{
		{"ph", "ph/y.jpg", true},
		{"ph", "ph/a/b/y.jpg", true},
		{"ph", "ph/.a/b/y.jpg", false},
		{"ph", "ph/a/.b/y.jpg", false},
		{"ph/a", "ph/y.jpg", false},
		{".", "ph/a/y.jpg", true},
		{"p*", "ph/a/b/y.jpg", true},
		{"ph/*.jpg", "ph/a/y.jpg", false},
	} {
		if got := (&Flags{Recursive: true}).Covers(test.arg, test.path); got != test.want {
			t.Errorf("recursive, Covers(%q, %q) is %v, want %v", test.arg, test.path, got, test.want)
		}
	}
}
