package main

import (
	"encoding/json"
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
	for _, line := range []string{"clipdet", "gotch", "libtorch  2.", "device", "memory", "cache", "dtype     float32: ", "models    rpn", "models    clip-image", "models    clip-text"} {
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
