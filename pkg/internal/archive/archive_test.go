package archive

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// valid returns a valid manifest of the kind, with a known answer of one generated input.
func valid(kind Kind) Manifest {
	m := Manifest{
		Format:       Format,
		Kind:         kind,
		Architecture: "a test",
		Weights:      Weights{Name: "none", SHA256: strings.Repeat("0a", 32), Licence: "Apache-2.0", Source: "this test"},
		DType:        Float32,
		MemoryFormat: "contiguous",
		Exporter:     "test 1",
		KnownAnswer: KnownAnswer{
			Seed:      7,
			Outputs:   []KnownOutput{{Shape: []int64{1, 64}, Sum: 1.5, AbsSum: 2.5, Values: []float64{2, -0.5}}},
			Tolerance: 1e-3,
		},
		Digest: strings.Repeat("0", 64),
	}
	answer := &m.KnownAnswer
	switch kind {
	case RPN:
		m.MinSize, m.MaxSize, m.Proposals, m.NMS = 800, 1333, 1000, 0.7
		answer.Inputs = []KnownInput{
			{Shape: []int64{1, 3, 2, 2}, DType: "float32", Values: "unit"},
			{Shape: []int64{1, 2}, DType: "int64", Literal: [][]int64{{2, 2}}},
		}
		answer.Outputs[0].Shape = []int64{1, 1000, 5}
		answer.Outputs = append(answer.Outputs, KnownOutput{Shape: []int64{1}, Sum: 7, AbsSum: 7, Values: []float64{7}})
	case CLIPImage:
		m.InputSize, m.Mean, m.Std = 224, []float64{0.5, 0.5, 0.5}, []float64{0.25, 0.25, 0.25}
		answer.Inputs = []KnownInput{{Shape: []int64{1, 3, 224, 224}, DType: "float32", Values: "unit"}}
	case CLIPText:
		m.ContextLength, m.Vocabulary = contextLength, vocabulary
		answer.Inputs = []KnownInput{{Shape: []int64{1, 77}, DType: "int64", Values: "tokens"}}
	}
	if kind != RPN {
		m.EmbeddingWidth, m.LogitScale, m.CLIPID = 64, 100, "test clip"
	}
	return m
}

func marshal(t testing.TB, m Manifest) []byte {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

type entry struct {
	name string
	data []byte
}

// pack returns a zip of the entries.
func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	for _, e := range entries {
		f, err := w.CreateHeader(&zip.FileHeader{Name: e.name, Method: zip.Store})
		if err == nil {
			_, err = f.Write(e.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// archive returns a small stand-in for an archive of torch.jit.save, with m as its
// manifest.
func archive(t testing.TB, m Manifest) []byte {
	t.Helper()
	return sealed(t, m, entry{"net/data.pkl", []byte("\x80\x02")}, entry{"net/data/0", []byte("weights")})
}

// sealed packs the entries and m, with the digest that torchscript/CONTRACT.md defines.
func sealed(t testing.TB, m Manifest, entries ...entry) []byte {
	t.Helper()
	m.Digest = strings.Repeat("0", 64)
	var lines []string
	for _, e := range entries {
		_, name, _ := strings.Cut(e.name, "/")
		lines = append(lines, fmt.Sprintf("%s %d %08x\n", name, len(e.data), crc32.ChecksumIEEE(e.data)))
	}
	slices.Sort(lines)
	m.Digest = fmt.Sprintf("%x", sha256.Sum256(append([]byte(strings.Join(lines, "")), marshal(t, m)...)))
	return pack(t, append(entries, entry{"net/extra/manifest.json", marshal(t, m)})...)
}

func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInspectReadsEveryKind(t *testing.T) {
	for _, kind := range kinds() {
		want := valid(kind)
		got, err := Inspect(write(t, filepath.Join(t.TempDir(), "x.pt"), archive(t, want)))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		want.Digest = got.Digest
		if w, g := marshal(t, want), marshal(t, got); !bytes.Equal(w, g) {
			t.Errorf("%s: the manifest changed on its way\nwrote %s\nread  %s", kind, w, g)
		}
	}
}

func TestInspectRefuses(t *testing.T) {
	good := archive(t, valid(RPN))
	pkl := entry{"net/data.pkl", []byte("\x80\x02")}
	manifest := entry{"net/extra/manifest.json", marshal(t, valid(RPN))}
	flipped := bytes.Clone(good)
	// The checksum in the zip is then wrong.
	flipped[bytes.Index(flipped, []byte("a test"))] = 'A'
	tests := []struct {
		name string
		data []byte
		want error
		says string
	}{
		{"empty file", nil, ErrNotArchive, "0 bytes"},
		{"not a zip", []byte("hello, world"), ErrNotArchive, "copy or export"},
		{"truncated", good[:len(good)-30], ErrNotArchive, "copy or export"},
		{"flipped bit", flipped, ErrDamaged, "checksum"},
		{"manifest of another archive", pack(t, pkl, manifest), ErrDamaged, "digest"},
		{"a record more", repacked(t, good, "net/data/1", "more"), ErrDamaged, "digest"},
		{"a record edited", repacked(t, good, "net/data/0", "Weights"), ErrDamaged, "digest"},
		{"a record twice", pack(t, pkl, pkl, manifest), ErrNotArchive, "twice"},
		{"zip of something else", pack(t, entry{"a/b.txt", nil}), ErrNotArchive, "data.pkl"},
		{"checkpoint of torch.save", pack(t, pkl, entry{"net/version", []byte("3")}), ErrNoManifest, "torchscript/"},
		{"two folders", pack(t, pkl, manifest, entry{"b/extra/manifest.json", nil}), ErrNotArchive, `"b/extra/manifest.json" outside "net/"`},
		{"huge manifest", pack(t, pkl, entry{manifest.name, bytes.Repeat([]byte(" "), manifestLimit+1)}), ErrManifest, "more than"},
		{"not JSON", pack(t, pkl, entry{manifest.name, []byte("{")}), ErrManifest, "JSON"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "broken.pt"), test.data)
			_, err := Inspect(path)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want it to wrap %q", err, test.want)
			}
			for _, part := range []string{path, test.says} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the message %q does not say %q", err, part)
				}
			}
		})
	}
	if _, err := Inspect(t.TempDir()); !errors.Is(err, ErrNotArchive) {
		t.Errorf("a directory: got %v, want ErrNotArchive", err)
	}
	if _, err := Inspect("no such file.pt"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want fs.ErrNotExist", err)
	}
}

// repacked returns an archive with another content of a record, and its checksum right.
func repacked(t testing.TB, data []byte, name, content string) []byte {
	t.Helper()
	old, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	entries := []entry{}
	for _, f := range old.File {
		text, err := fs.ReadFile(old, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name != name {
			entries = append(entries, entry{f.Name, text})
		}
	}
	return pack(t, append(entries, entry{name, []byte(content)})...)
}

func TestCheckReadsEveryByte(t *testing.T) {
	good := archive(t, valid(CLIPText))
	path := filepath.Join(t.TempDir(), "x.pt")
	if err := Check(t.Context(), write(t, path, good)); err != nil {
		t.Error(err)
	}
	at := bytes.Index(good, []byte("weights"))
	for i := at; i < at+len("weights"); i++ {
		damaged := bytes.Clone(good)
		damaged[i] ^= 1
		write(t, path, damaged)
		if _, err := Inspect(path); err != nil {
			t.Errorf("byte %d: inspecting the directory alone gives %v", i, err)
		}
		err := Check(t.Context(), path)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "net/data/0") {
			t.Errorf("byte %d: got %v, want ErrDamaged that names the file and the record", i, err)
		}
	}
	if err := Check(t.Context(), write(t, path, good[:len(good)/2])); !errors.Is(err, ErrNotArchive) {
		t.Errorf("half a file: got %v, want ErrNotArchive", err)
	}
}

// FuzzInspect checks that no archive, however broken, crashes the reader, and that an
// accepted one is valid.
func FuzzInspect(f *testing.F) {
	for _, kind := range kinds() {
		data := archive(f, valid(kind))
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte{})
	f.Add(pack(f))
	// These are small, and made by torch.jit.save.
	real, err := filepath.Glob("../../../testdata/models/odd/*.pt")
	if err != nil || len(real) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range real {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := openArchive(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !errors.Is(err, ErrNotArchive) {
				t.Errorf("opened: %v, want ErrNotArchive", err)
			}
			return
		}
		m, err := found.manifest()
		if err == nil {
			if err := m.validate(); err != nil {
				t.Errorf("accepted a manifest that is not valid: %v", err)
			}
			err = found.check(t.Context())
		}
		for _, known := range []error{nil, ErrNotArchive, ErrNoManifest, ErrManifest, ErrDamaged} {
			if errors.Is(err, known) {
				return
			}
		}
		t.Errorf("error without a sentinel: %v", err)
	})
}
