package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/model"
)

func TestModelsThatWork(t *testing.T) {
	for name, dirs := range map[string][]string{"built-in": nil, "tiny": {tinyModels}} {
		code, stdout, stderr := clipdet(t, append([]string{"models", "list"}, dirs...)...)
		if code != exitDone || stderr != "" {
			t.Errorf("list %s: exit code %d, stderr %q; want 0 and nothing", name, code, stderr)
		}
		for _, kind := range model.Kinds() {
			if !strings.Contains(stdout, string(kind)) {
				t.Errorf("list %s: no %s in\n%s", name, kind, stdout)
			}
		}
		code, stdout, stderr = clipdet(t, append([]string{"models", "verify"}, dirs...)...)
		if code != exitDone || stderr != "" || strings.Count(stdout, "ok ") < 3 || strings.Contains(stdout, "problem") {
			t.Errorf("verify %s: exit code %d, stderr %q; want 0, nothing, and three lines of ok:\n%s", name, code, stderr, stdout)
		}
	}
	code, stdout, stderr := clipdet(t, "doctor", "--models", tinyModels, "--device", "cpu")
	if code != exitDone || stderr != "" {
		t.Errorf("doctor: exit code %d, stderr %q; want 0 and nothing\n%s", code, stderr, stdout)
	}
	for _, line := range []string{"clipdet", "gotch", "libtorch  2.1.", "device", "memory", "cache", "models    rpn", "models    clip-image", "models    clip-text"} {
		if !strings.Contains(stdout, "ok       "+line) {
			t.Errorf("doctor: no line %q in\n%s", line, stdout)
		}
	}
}

func TestInspectWritesTheManifest(t *testing.T) {
	entries, err := model.Dir(tinyModels).List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		code, stdout, stderr := clipdet(t, "models", "inspect", filepath.Join(tinyModels, e.Name))
		got, err := model.ParseManifest([]byte(stdout))
		if code != exitDone || err != nil || got.Kind != e.Manifest.Kind {
			t.Errorf("%s: exit code %d, kind %q (%v), stderr %q; want 0 and %q", e.Name, code, got.Kind, err, stderr, e.Manifest.Kind)
		}
		if !json.Valid([]byte(stdout)) {
			t.Errorf("%s: not JSON: %s", e.Name, stdout)
		}
	}
}

// TestVerifyFindsWrongAnswers verifies a directory with one good archive, one whose manifest expects another answer, and
// one that was cut off.
func TestVerifyFindsWrongAnswers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"rpn.pt", "clip-image.pt", "clip-text.pt"} {
		data, err := os.ReadFile(filepath.Join(tinyModels, name))
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "rpn.pt":
			data = data[:len(data)/2]
		case "clip-image.pt":
			data = expectAnother(t, data)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr := clipdet(t, "models", "verify", dir)
	if code != exitSetup {
		t.Errorf("exit code %d, want %d", code, exitSetup)
	}
	for _, line := range []string{"ok       clip-text.pt", "problem  clip-image.pt", "problem  rpn.pt"} {
		if !strings.Contains(stdout, line) {
			t.Errorf("no line %q in\n%s", line, stdout)
		}
	}
	for _, reason := range []string{"differs from the known answer: output 0 value 0", "not a TorchScript archive"} {
		if !strings.Contains(stderr, reason) {
			t.Errorf("stderr does not say %q:\n%s", reason, stderr)
		}
	}
}

// expectAnother copies an archive and changes the first value of its known answer.
func expectAnother(t *testing.T, archive []byte) []byte {
	t.Helper()
	from, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var changed bytes.Buffer
	to := zip.NewWriter(&changed)
	for _, f := range from.File {
		if filepath.Base(f.Name) != "manifest.json" {
			if err := to.Copy(f); err != nil {
				t.Fatal(err)
			}
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var m model.Manifest
		if err := json.NewDecoder(r).Decode(&m); err != nil {
			t.Fatal(err)
		}
		m.KnownAnswer.Outputs[0].Values[0] += 0.5
		w, err := to.CreateHeader(&zip.FileHeader{Name: f.Name, Method: zip.Store})
		if err == nil {
			err = json.NewEncoder(w).Encode(m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return changed.Bytes()
}
