package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
)

const (
	rpnFile, imageFile, textFile = "rpn.pt", "clip-image.pt", "clip-text.pt"
	manifestRecord               = "extra/manifest.json"
)

// records are the records of an archive by their names without the top folder. Tests
// damage them and write them again.
type records map[string][]byte

func readArchive(t *testing.T, name string) records {
	t.Helper()
	whole, err := zip.OpenReader(filepath.Join(tinyModels, name))
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	read := records{}
	for _, f := range whole.File {
		_, rest, _ := strings.Cut(f.Name, "/")
		if read[rest], err = fs.ReadFile(whole, f.Name); err != nil {
			t.Fatal(err)
		}
	}
	return read
}

// pack returns the records as a zip with correct checksums.
func (r records) pack(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range r.names() {
		f, err := w.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store})
		if err == nil {
			_, err = f.Write(r[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// names returns the sorted names, in the order of the digest in torchscript/CONTRACT.md.
func (r records) names() []string {
	var names []string
	for name := range r {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// seal sets the correct digest, as if an exporter had written these records.
func (r records) seal() records {
	manifest := regexp.MustCompile(`"digest": *"[0-9a-f]{64}"`).ReplaceAll(r[manifestRecord], []byte(`"digest": "`+strings.Repeat("0", 64)+`"`))
	h := sha256.New()
	for _, name := range r.names() {
		if name != manifestRecord && name != ".data/serialization_id" {
			fmt.Fprintf(h, "%s %d %08x\n", name, len(r[name]), crc32.ChecksumIEEE(r[name]))
		}
	}
	h.Write(manifest)
	r[manifestRecord] = bytes.Replace(manifest, []byte(strings.Repeat("0", 64)), fmt.Appendf(nil, "%x", h.Sum(nil)), 1)
	return r
}

// manifest is the JSON described in torchscript/CONTRACT.md.
type manifest map[string]any

// output returns the first output of the known answer.
func (m manifest) output() map[string]any {
	return m["known_answer"].(map[string]any)["outputs"].([]any)[0].(map[string]any)
}

// edit changes fields of the manifest.
func (r records) edit(t *testing.T, change func(manifest)) records {
	t.Helper()
	var m manifest
	err := json.Unmarshal(r[manifestRecord], &m)
	if err == nil {
		change(m)
		r[manifestRecord], err = json.Marshal(m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// otherWeights changes every tensor, as another training of the same network would. It
// flips the signs of the numbers.
func (r records) otherWeights() records {
	for name, data := range r {
		if strings.HasPrefix(name, "data/") {
			for i := 3; i < len(data); i += 4 {
				data[i] ^= 0x80
			}
		}
	}
	return r
}

// otherAnswer changes the first expected value.
func otherAnswer(m manifest) {
	values := m.output()["values"].([]any)
	values[0] = values[0].(float64) + 0.5
}

// newer claims that a later torch exported the archive.
func newer(m manifest) { m["exporter"] = "clipdet-export 1 torch 2.9.0 torchvision 0.24.0" }

func TestVerify(t *testing.T) {
	const (
		changed  = "archive is not as it was exported: the digest in its manifest is another's"
		answer   = "answer differs from the known answer: output 0"
		versions = "exported by torch 2.9.0, and libtorch 2."
		again    = "export the model again"
	)
	read := func(name string) records { return readArchive(t, name) }
	// edited returns an archive with another manifest and the old digest.
	edited := func(name string, change func(manifest)) []byte { return read(name).edit(t, change).pack(t) }
	resealed := func(name string, change func(manifest)) []byte {
		return read(name).edit(t, change).seal().pack(t)
	}
	// under returns the records of one archive with the manifest of another.
	under := func(manifest, of records) records {
		of[manifestRecord] = manifest[manifestRecord]
		return of
	}
	whole := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(tinyModels, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	tests := []struct {
		name  string
		files map[string][]byte // these replace the tiny models' files
		// opens is true if a detector can be opened. Only verify checks the known answer.
		opens  bool
		code   int
		stdout []string // texts of its lines
		stderr []string
	}{
		{name: "whole", opens: true, stdout: []string{"ok rpn.pt", "ok clip-image.pt", "ok clip-text.pt"}},
		{name: "file names exchanged", files: map[string][]byte{rpnFile: whole(textFile), textFile: whole(rpnFile)},
			opens: true, stdout: []string{"ok rpn.pt clip-text in float32", "ok clip-text.pt rpn in float32"}},

		{name: "float16 on a CPU", files: map[string][]byte{"clip-text.float16.pt": resealed(textFile, func(m manifest) { m["dtype"] = model.Float16 })}, opens: true,
			stdout: []string{"not run clip-text.float16.pt clip-text in float16: weights of this type don't run on this device; its file is whole", "ok clip-text.pt"}},
		{name: "a byte of a weight in float16 changed", files: map[string][]byte{"clip-text.float16.pt": flipWeight(t, resealed(textFile, func(m manifest) { m["dtype"] = model.Float16 }))}, opens: true, code: exit.CodeSetup,
			stdout: []string{"problem clip-text.float16.pt archive is not as it was exported: record"}},

		{name: "truncated", files: map[string][]byte{rpnFile: whole(rpnFile)[:100_000]}, code: exit.CodeSetup,
			stdout: []string{"problem rpn.pt not a TorchScript archive (100000 bytes", "copy or export", "ok clip-text.pt"}, stderr: []string{"1 of the above do not work: rpn.pt"}},
		{name: "the last byte is missing", files: map[string][]byte{rpnFile: whole(rpnFile)[:len(whole(rpnFile))-1]}, code: exit.CodeSetup,
			stdout: []string{"problem rpn.pt not a TorchScript archive"}},
		{name: "empty", files: map[string][]byte{rpnFile: nil}, code: exit.CodeSetup, stdout: []string{"problem rpn.pt not a TorchScript archive (0 bytes"}},
		{name: "no zip", files: map[string][]byte{rpnFile: []byte("weights")}, code: exit.CodeSetup, stdout: []string{"problem rpn.pt not a TorchScript archive (7 bytes"}},

		{name: "a byte of a weight changed", files: map[string][]byte{imageFile: flipWeight(t, whole(imageFile))}, code: exit.CodeSetup,
			stdout: []string{"problem clip-image.pt archive is not as it was exported: record", "/data/", "checksum error; copy or export the file again"}},
		{name: "weights edited", files: map[string][]byte{imageFile: read(imageFile).otherWeights().pack(t)}, code: exit.CodeSetup,
			stdout: []string{"problem clip-image.pt " + changed}},
		{name: "weights edited, digest made anew", files: map[string][]byte{imageFile: read(imageFile).otherWeights().seal().pack(t)}, opens: true, code: exit.CodeSetup,
			stdout: []string{"problem clip-image.pt " + answer, again}},
		{name: "records of another export", files: map[string][]byte{rpnFile: under(read(rpnFile), read(rpnFile).otherWeights().seal()).pack(t)}, code: exit.CodeSetup,
			stdout: []string{"problem rpn.pt " + changed}},

		{name: "known answer edited", files: map[string][]byte{textFile: edited(textFile, otherAnswer)}, code: exit.CodeSetup, stdout: []string{"problem clip-text.pt " + changed}},
		{name: "known answer edited, digest made anew", files: map[string][]byte{textFile: resealed(textFile, otherAnswer)}, opens: true, code: exit.CodeSetup,
			stdout: []string{"problem clip-text.pt " + answer + " value 0", again}},
		{name: "dtype edited", files: map[string][]byte{textFile: edited(textFile, func(m manifest) { m["dtype"] = model.BFloat16 })}, code: exit.CodeSetup,
			stdout: []string{"problem clip-text.pt " + changed}},
		{name: "mean edited", files: map[string][]byte{imageFile: edited(imageFile, func(m manifest) { m["mean"].([]any)[1] = 0.41 })}, code: exit.CodeSetup,
			stdout: []string{"problem clip-image.pt " + changed}},
		{name: "logit scale edited", files: map[string][]byte{imageFile: edited(imageFile, func(m manifest) { m["logit_scale"] = 100 })}, code: exit.CodeSetup,
			stdout: []string{"problem clip-image.pt " + changed}},
		{name: "kind edited", files: map[string][]byte{imageFile: resealed(imageFile, func(m manifest) { m["kind"] = model.CLIPText })}, code: exit.CodeSetup,
			stdout: []string{"problem clip-image.pt unusable manifest: context_length: want 77, got 0"}},

		{name: "the image tower's manifest on the text tower", files: map[string][]byte{imageFile: under(read(imageFile), read(textFile)).pack(t)}, code: exit.CodeSetup,
			stdout: []string{"problem clip-image.pt " + changed}},
		{name: "the same, digest made anew", files: map[string][]byte{imageFile: under(read(imageFile), read(textFile)).seal().pack(t)}, opens: true, code: exit.CodeSetup,
			stdout: []string{"problem clip-image.pt libtorch: forward of", again}},
		{name: "the text tower's manifest on the image tower", files: map[string][]byte{textFile: under(read(textFile), read(imageFile)).seal().pack(t)}, opens: true, code: exit.CodeSetup,
			stdout: []string{"problem clip-text.pt libtorch: forward of", again}},
		{name: "the network's manifest on the image tower", files: map[string][]byte{rpnFile: under(read(rpnFile), read(imageFile)).seal().pack(t)}, opens: true, code: exit.CodeSetup,
			stdout: []string{"problem rpn.pt libtorch: forward of", again}},
		{name: "the image tower's manifest on the network", files: map[string][]byte{imageFile: under(read(imageFile), read(rpnFile)).seal().pack(t)}, opens: true, code: exit.CodeSetup,
			stdout: []string{"problem clip-image.pt libtorch: forward of", again}},
		{name: "a checkpoint of torch.save", files: map[string][]byte{rpnFile: records{"data.pkl": []byte("\x80\x02}q\x00."), "version": []byte("3\n"), "data/0": nil}.pack(t)}, code: exit.CodeSetup,
			stdout: []string{"ignored rpn.pt no clipdet manifest in the archive: make it with the exports in torchscript/"},
			stderr: []string{"no rpn; there are clip-image.pt (clip-image in float32)", "without a manifest: rpn.pt"}},
		{name: "a checkpoint beside whole models", files: map[string][]byte{"checkpoint.pt": records{"data.pkl": nil}.pack(t)}, opens: true,
			stdout: []string{"ignored checkpoint.pt", "ok rpn.pt"}},
		{name: "another zip", files: map[string][]byte{rpnFile: records{"letter.txt": []byte("Dear")}.pack(t)}, code: exit.CodeSetup,
			stdout: []string{"problem rpn.pt not a TorchScript archive: a zip without data.pkl; export the model"}},

		{name: "towers of two CLIPs", files: map[string][]byte{textFile: resealed(textFile, func(m manifest) { m["clip_id"] = "another" })}, code: exit.CodeSetup,
			stdout: []string{"ok clip-image.pt", "ok clip-text.pt"},
			stderr: []string{"models do not fit together: clip-image.pt and clip-text.pt are of different CLIPs: clip_id is", "take both from one export"}},
		{name: "towers of two widths", files: map[string][]byte{textFile: resealed(textFile, func(m manifest) {
			m["embedding_width"], m.output()["shape"].([]any)[1] = 16, 16
		})}, code: exit.CodeSetup,
			stdout: []string{"ok clip-image.pt", "problem clip-text.pt answer differs from the known answer: output 0 has shape [1 32]"},
			stderr: []string{"embedding_width is 32 and 16", "take both from one export"}},
		{name: "logit scales of two CLIPs", files: map[string][]byte{textFile: resealed(textFile, func(m manifest) { m["logit_scale"] = 100 })}, code: exit.CodeSetup,
			stdout: []string{"ok clip-text.pt"}, stderr: []string{"logit_scale is 20 and 100"}},

		{name: "another torch, right", files: map[string][]byte{rpnFile: resealed(rpnFile, newer)}, opens: true, stdout: []string{"ok rpn.pt rpn in float32", versions}},
		{name: "another torch, wrong", files: map[string][]byte{rpnFile: read(rpnFile).edit(t, newer).otherWeights().seal().pack(t)}, opens: true, code: exit.CodeSetup,
			stdout: []string{"problem rpn.pt " + answer, versions, again}},
		{name: "another torch, not to be loaded", files: map[string][]byte{rpnFile: withVersion(read(rpnFile).edit(t, newer), "99").seal().pack(t)}, code: exit.CodeSetup,
			stdout: []string{"problem rpn.pt libtorch: load", versions, again}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			files := map[string][]byte{rpnFile: whole(rpnFile), imageFile: whole(imageFile), textFile: whole(textFile)}
			for name, data := range test.files {
				files[name] = data
			}
			for name, data := range files {
				if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			code, stdout, stderr := clipdet(t, "models", "verify", dir)
			if code != test.code || (code == exit.CodeDone) != (stderr == "") {
				t.Errorf("exit code %d, stderr %q; want %d", code, stderr, test.code)
			}
			if lines := strings.Count(stdout, "\n"); lines != len(files) {
				t.Errorf("%d lines for %d files:\n%s", lines, len(files), stdout)
			}
			said := regexp.MustCompile(` +`).ReplaceAllString(stdout, " ")
			for _, want := range test.stdout {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in\n%s", want, stdout)
				}
			}
			for _, want := range test.stderr {
				if !strings.Contains(stderr, want) {
					t.Errorf("no %q in stderr:\n%s", want, stderr)
				}
			}
			detector, err := detect.Open(t.Context(), detect.Options{Models: model.Dir(dir), Device: "cpu", Threads: 1})
			if err == nil {
				detector.Close()
			} else if strings.Contains(stdout, versions) && !strings.Contains(err.Error(), versions) {
				t.Errorf("opening says %q, and not %q", err, versions)
			}
			if (err == nil) != test.opens {
				t.Errorf("opening gives %v; want it to open: %t", err, test.opens)
			}
		})
	}
}

// withVersion claims a version of torch's format that libtorch may be too old for.
func withVersion(r records, version string) records {
	r["version"] = []byte(version + "\n")
	return r
}

// flipWeight changes a byte in the middle of the largest record but no checksum.
func flipWeight(t *testing.T, data []byte) []byte {
	t.Helper()
	whole, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	largest := slices.MaxFunc(whole.File, func(a, b *zip.File) int { return int(a.UncompressedSize64) - int(b.UncompressedSize64) })
	start, err := largest.DataOffset()
	if err != nil {
		t.Fatal(err)
	}
	data[start+int64(largest.UncompressedSize64)/2] ^= 1
	return data
}

// An interruption isn't blamed on the models.
func TestChecksInterrupted(t *testing.T) {
	for _, args := range [][]string{{"models", "verify"}, {"models", "verify", tinyModels}, {"models", "lock", tinyModels}, {"doctor"}, {"doctor", "--models", tinyModels}} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var stdout, stderr bytes.Buffer
		code := run(ctx, args, &stdout, &stderr)
		if code != exit.CodeInputs || !strings.Contains(stderr.String(), "interrupted") || strings.Contains(stdout.String(), "problem") {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q; want %d and that it was interrupted", args, code, &stdout, &stderr, exit.CodeInputs)
		}
	}
}
