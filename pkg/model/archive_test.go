package model

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// valid returns a manifest of the kind that passes, with a known answer of one generated input.
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
			Inputs:    []KnownInput{{Shape: []int64{1, 3, 2, 2}, DType: "float32", Values: "unit"}},
			Outputs:   []KnownOutput{{Shape: []int64{1, 2}, Sum: 1.5, AbsSum: 2.5, Values: []float64{2, -0.5}}},
			Tolerance: 1e-3,
		},
	}
	switch kind {
	case RPN:
		m.MinSize, m.MaxSize, m.Proposals, m.NMS = 800, 1333, 1000, 0.7
	case CLIPImage:
		m.InputSize, m.Mean, m.Std = 224, []float64{0.5, 0.5, 0.5}, []float64{0.25, 0.25, 0.25}
	case CLIPText:
		m.ContextLength, m.Vocabulary = contextLength, vocabulary
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

// pack writes a zip of the entries.
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

// archive is a small stand-in for what torch.jit.save writes, with m as its manifest.
func archive(t testing.TB, m Manifest) []byte {
	t.Helper()
	return pack(t, entry{"net/data.pkl", []byte("\x80\x02")}, entry{"net/extra/manifest.json", marshal(t, m)})
}

func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInspectReadsEveryKind(t *testing.T) {
	for _, kind := range Kinds() {
		want := valid(kind)
		got, err := Inspect(write(t, filepath.Join(t.TempDir(), "x.pt"), archive(t, want)))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
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
	flipped[bytes.Index(flipped, []byte("a test"))] = 'A' // the checksum in the zip no longer fits
	tests := []struct {
		name string
		data []byte
		want error
		says string
	}{
		{"empty file", nil, ErrNotArchive, "0 bytes"},
		{"not a zip", []byte("hello, world"), ErrNotArchive, "copy or export"},
		{"truncated", good[:len(good)-30], ErrNotArchive, "copy or export"},
		{"flipped bit", flipped, ErrNotArchive, "checksum"},
		{"zip of something else", pack(t, entry{"a/b.txt", nil}), ErrNotArchive, "data.pkl"},
		{"checkpoint of torch.save", pack(t, pkl, entry{"net/version", []byte("3")}), ErrNoManifest, "torchscript/"},
		{"two manifests", pack(t, pkl, manifest, entry{"b/extra/manifest.json", nil}), ErrManifest, "2 of them"},
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

// FuzzInspect holds that no archive, however broken, crashes the reader, and that what it accepts is valid.
func FuzzInspect(f *testing.F) {
	for _, kind := range Kinds() {
		data := archive(f, valid(kind))
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte{})
	f.Add(pack(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		archive, err := openArchive(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if m, err := readManifest(archive); err == nil {
			if err := m.Validate(); err != nil {
				t.Errorf("accepted a manifest that is not valid: %v", err)
			}
		}
	})
}
