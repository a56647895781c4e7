package archive

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
)

// variant returns valid with another dtype or CLIP.
func variant(kind Kind, dtype, clip string) Manifest {
	m := valid(kind)
	m.DType = dtype
	if kind != RPN {
		m.CLIPID = clip
	}
	return m
}

// trio returns float32 archives under the usual names.
func trio(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"rpn.pt":        archive(t, valid(RPN)),
		"clip-image.pt": archive(t, valid(CLIPImage)),
		"clip-text.pt":  archive(t, valid(CLIPText)),
	}
}

func TestResolve(t *testing.T) {
	bf16 := func(kind Kind) []byte { return archive(t, variant(kind, BFloat16, "test clip")) }
	int8s := func(kind Kind) []byte { return archive(t, variant(kind, Int8, "test clip")) }
	tests := []struct {
		name   string
		dtype  string
		prefer []string
		edit   func(files map[string][]byte)
		want   string // names of the files of the RPN, image and text
		err    error
		says   string
	}{
		{name: "auto", dtype: Auto, want: "rpn.pt clip-image.pt clip-text.pt"},
		{name: "empty is auto", want: "rpn.pt clip-image.pt clip-text.pt"},
		{name: "by the manifest, not the name", dtype: Float32,
			edit: func(f map[string][]byte) {
				f["a.pt"], f["rpn.pt"] = f["rpn.pt"], f["clip-text.pt"]
				delete(f, "clip-text.pt")
			},
			want: "a.pt clip-image.pt rpn.pt"},
		{name: "auto prefers float32", dtype: Auto,
			edit: func(f map[string][]byte) { f["b.pt"] = bf16(CLIPImage) },
			want: "rpn.pt clip-image.pt clip-text.pt"},
		{name: "auto takes what is preferred, where it is there", dtype: Auto, prefer: []string{BFloat16},
			edit: func(f map[string][]byte) { f["b.pt"] = bf16(CLIPImage) },
			want: "rpn.pt b.pt clip-text.pt"},
		{name: "a dtype that is asked for counts more", dtype: Float32, prefer: []string{BFloat16},
			edit: func(f map[string][]byte) { f["b.pt"] = bf16(CLIPImage) },
			want: "rpn.pt clip-image.pt clip-text.pt"},
		{name: "auto takes what there is", dtype: Auto,
			edit: func(f map[string][]byte) { f["clip-image.pt"] = bf16(CLIPImage) },
			want: "rpn.pt clip-image.pt clip-text.pt"},
		{name: "by dtype", dtype: BFloat16,
			edit: func(f map[string][]byte) {
				f["rpn.bfloat16.pt"], f["i.bfloat16.pt"], f["t.bfloat16.pt"] = bf16(RPN), bf16(CLIPImage), bf16(CLIPText)
			},
			want: "rpn.bfloat16.pt i.bfloat16.pt t.bfloat16.pt"},
		{name: "dtype that is not there", dtype: BFloat16, err: ErrMissing, says: "no rpn in bfloat16; there are clip-image.pt (clip-image in float32)"},
		{name: "unknown dtype", dtype: "int4", err: ErrMissing, says: `"int4"`},
		{name: "int8 of the image tower alone", dtype: Int8,
			edit: func(f map[string][]byte) { f["i.int8.pt"] = int8s(CLIPImage) },
			want: "rpn.pt i.int8.pt clip-text.pt"},
		{name: "int8 of both towers", dtype: Int8,
			edit: func(f map[string][]byte) { f["i.int8.pt"], f["t.int8.pt"] = int8s(CLIPImage), int8s(CLIPText) },
			want: "rpn.pt i.int8.pt t.int8.pt"},
		{name: "int8 without an image tower", dtype: Int8,
			edit: func(f map[string][]byte) { f["t.int8.pt"] = int8s(CLIPText) },
			err:  ErrMissing, says: "no clip-image in int8"},
		{name: "auto never takes int8", dtype: Auto,
			edit: func(f map[string][]byte) {
				delete(f, "clip-image.pt")
				f["i.int8.pt"] = int8s(CLIPImage)
			},
			err: ErrMissing, says: "no clip-image but i.int8.pt in int8, which has to be asked for"},
		{name: "a kind missing", dtype: Auto, edit: func(f map[string][]byte) { delete(f, "clip-text.pt") }, err: ErrMissing, says: "no clip-text"},
		{name: "nothing", dtype: Auto, edit: func(f map[string][]byte) { clear(f) }, err: ErrMissing, says: "torchscript/"},
		{name: "other files are left alone", dtype: Auto,
			edit: func(f map[string][]byte) {
				f["notes.txt"] = []byte("hello")
				f["checkpoint.pt"] = pack(t, entry{"checkpoint/data.pkl", nil})
			},
			want: "rpn.pt clip-image.pt clip-text.pt"},
		{name: "a file without a manifest is named where it may be what is missing", dtype: Auto,
			edit: func(f map[string][]byte) { f["rpn.pt"] = pack(t, entry{"checkpoint/data.pkl", nil}) },
			err:  ErrMissing, says: "no rpn; there are clip-image.pt (clip-image in float32), clip-text.pt (clip-text in float32); without a manifest: rpn.pt; make it"},
		{name: "a broken file is not passed over", dtype: Auto, edit: func(f map[string][]byte) { f["zz.pt"] = []byte("torn") }, err: ErrNotArchive, says: "zz.pt"},
		{name: "another CLIP's text tower", dtype: Auto,
			edit: func(f map[string][]byte) { f["clip-text.pt"] = archive(t, variant(CLIPText, Float32, "another")) },
			err:  ErrMismatch, says: `"test clip" and "another"`},
		{name: "another width", dtype: Auto,
			edit: func(f map[string][]byte) {
				m := valid(CLIPText)
				m.EmbeddingWidth, m.KnownAnswer.Outputs[0].Shape = 32, []int64{1, 32}
				f["clip-text.pt"] = archive(t, m)
			},
			err: ErrMismatch, says: "embedding_width is 64 and 32"},
		{name: "another logit scale", dtype: Auto,
			edit: func(f map[string][]byte) {
				m := valid(CLIPText)
				m.LogitScale = 50
				f["clip-text.pt"] = archive(t, m)
			},
			err: ErrMismatch, says: "logit_scale is 100 and 50"},
		{name: "two of a kind", dtype: Auto, edit: func(f map[string][]byte) { f["rpn2.pt"] = f["rpn.pt"] }, err: ErrMismatch, says: "rpn.pt and rpn2.pt"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files := trio(t)
			if test.edit != nil {
				test.edit(files)
			}
			dir, embedded := t.TempDir(), fstest.MapFS{}
			for name, data := range files {
				write(t, filepath.Join(dir, name), data)
				embedded[name] = &fstest.MapFile{Data: data}
			}
			t.Setenv("CLIPDET_HOME", t.TempDir())
			for _, set := range []Set{Dir(dir), Embedded(embedded, "test")} {
				got, err := set.Resolve(t.Context(), test.dtype, test.prefer...)
				if test.err != nil {
					if !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.says) {
						t.Errorf("%v: got %v, want %q that says %q", set, err, test.err, test.says)
					}
					continue
				}
				if err != nil {
					t.Errorf("%v: %v", set, err)
					continue
				}
				var names []string
				for i, file := range []File{got.RPN, got.Image, got.Text} {
					names = append(names, filepath.Base(file.Path))
					if m, err := Inspect(file.Path); err != nil || m.Kind != kinds()[i] || m.Kind != file.Manifest.Kind {
						t.Errorf("%v: %s is of kind %q (%v), want %q", set, file.Path, m.Kind, err, kinds()[i])
					}
				}
				if strings.Join(names, " ") != test.want {
					t.Errorf("%v: got %v, want %s", set, names, test.want)
				}
			}
		})
	}
}

func TestZeroSetSaysWhatToDo(t *testing.T) {
	_, err := Set{}.Resolve(t.Context(), Auto)
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "builtin.Models()") {
		t.Errorf("got %v, want ErrMissing that names builtin.Models()", err)
	}
	if _, err := Dir(filepath.Join(t.TempDir(), "none")).Resolve(t.Context(), Auto); !errors.Is(err, ErrMissing) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: got %v, want ErrMissing and fs.ErrNotExist", err)
	}
}

func TestListShowsBrokenFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rpn.pt"), archive(t, valid(RPN)))
	write(t, filepath.Join(dir, "torn.pt"), []byte("torn"))
	if err := os.Mkdir(filepath.Join(dir, "folder.pt"), 0o755); err != nil {
		t.Fatal(err)
	}
	entries, err := Dir(dir).List()
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || entries[0].Manifest.Kind != RPN || entries[0].Err != nil || !errors.Is(entries[1].Err, ErrNotArchive) || entries[1].Size != 4 {
		t.Errorf("got %+v, want rpn.pt and a broken torn.pt of 4 bytes", entries)
	}
}

func TestFileByName(t *testing.T) {
	t.Setenv("CLIPDET_HOME", t.TempDir())
	embedded := embeddedTrio(t)
	embedded["torn.pt"] = &fstest.MapFile{Data: []byte("torn")}
	set := Embedded(embedded, "test")
	file, err := set.File(t.Context(), "clip-text.pt")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := Inspect(file.Path); err != nil || m.Kind != CLIPText {
		t.Errorf("%s is of kind %q (%v), want clip-text", file.Path, m.Kind, err)
	}
	if _, err := set.File(t.Context(), "torn.pt"); !errors.Is(err, ErrNotArchive) {
		t.Errorf("a broken file: got %v, want ErrNotArchive", err)
	}
	if _, err := set.File(t.Context(), "none.pt"); !errors.Is(err, ErrMissing) {
		t.Errorf("a name that is not there: got %v, want ErrMissing", err)
	}
}

func TestAFileOfAnotherKindOrTorchSaysSo(t *testing.T) {
	file := File{Path: "x.pt", Manifest: valid(CLIPText)}
	if err := file.Want(CLIPImage, CLIPText); err != nil {
		t.Error(err)
	}
	if err := file.Want(RPN); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "x.pt") {
		t.Errorf("got %v, want ErrMismatch that names the file", err)
	}
	cause := errors.New("unknown operator")
	for _, test := range []struct{ exporter, running, says string }{
		{"clipdet-export 1 torch 2.1.2 torchvision 0.16.2", "2.1.2", ""},
		{"clipdet-export 1 torch 2.1.2 torchvision 0.16.2", "2.1.2+cu121", ""},
		{"clipdet-export 1 torch 2.10.0 torchvision 0.25.0", "2.1.2", "exported by torch 2.10.0, and libtorch 2.1.2 runs here"},
		{"mine, with torch 2.1.2", "2.0.1", "exported by torch 2.1.2, and libtorch 2.0.1 runs here"},
		{"mine", "2.1.2", ""},
		{"clipdet-export 1 torch 2.1.2", "", ""},
	} {
		file.Manifest.Exporter = test.exporter
		if got := file.Manifest.OtherTorch(test.running); got != test.says {
			t.Errorf("%q with libtorch %q: says %q, want %q", test.exporter, test.running, got, test.says)
		}
		err := file.Explain(cause, test.running)
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), test.says) || (test.says == "") != (err == cause) {
			t.Errorf("%q with libtorch %q: got %v, want the cause and %q", test.exporter, test.running, err, test.says)
		}
		if err := file.Explain(nil, test.running); err != nil {
			t.Errorf("no error became %v", err)
		}
	}
}

// swapping is a context that exchanges a file when it is first asked, which is when the
// first file is read.
type swapping struct {
	context.Context
	once sync.Once
	swap func()
}

func (s *swapping) Err() error {
	s.once.Do(s.swap)
	return s.Context.Err()
}

// A text tower of another CLIP that takes the place of the right one while the other files
// are read would answer wrong.
func TestResolveOfAFileThatIsExchangedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	for name, data := range trio(t) {
		write(t, filepath.Join(dir, name), data)
	}
	other := write(t, filepath.Join(t.TempDir(), "other.pt"), archive(t, variant(CLIPText, Float32, "another")))
	path := filepath.Join(dir, "clip-text.pt")
	ctx := &swapping{Context: t.Context(), swap: func() {
		if err := os.Rename(other, path); err != nil {
			t.Error(err)
		}
	}}
	if _, err := Dir(dir).Resolve(ctx, Auto); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrMismatch of %s", err, path)
	}
}

// unreadable is a file system whose files can't be read. It counts those that are open.
type unreadable struct {
	fstest.MapFS
	open *int
}

func (u unreadable) Open(name string) (fs.File, error) {
	file, err := u.MapFS.Open(name)
	*u.open++
	return unreadableFile{file, u.open}, err
}

type unreadableFile struct {
	fs.File // and no io.ReaderAt
	open    *int
}

func (f unreadableFile) Read([]byte) (int, error) { return 0, syscall.EIO }

func (f unreadableFile) Close() error {
	*f.open--
	return f.File.Close()
}

func TestUnreadableFilesAreClosed(t *testing.T) {
	open := 0
	entries, err := Embedded(unreadable{embeddedTrio(t), &open}, "test").List()
	if err != nil || len(entries) != 3 || open != 0 {
		t.Errorf("%d entries, %d open files (%v), want 3 and none", len(entries), open, err)
	}
	for _, entry := range entries {
		if !errors.Is(entry.Err, syscall.EIO) {
			t.Errorf("%s: got %v, want EIO", entry.Name, entry.Err)
		}
	}
}
