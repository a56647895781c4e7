package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/model"
)

func TestModelsThatWork(t *testing.T) {
	for name, dirs := range map[string][]string{"built-in": nil, "tiny": {tinyModels}} {
		code, stdout, stderr := clipdet(t, append([]string{"models", "list"}, dirs...)...)
		if code != exit.CodeDone || stderr != "" {
			t.Errorf("list %s: exit code %d, stderr %q; want 0 and nothing", name, code, stderr)
		}
		for _, kind := range []string{"rpn", "clip-image", "clip-text"} {
			if !strings.Contains(stdout, kind) {
				t.Errorf("list %s: no %s in\n%s", name, kind, stdout)
			}
		}
		code, stdout, stderr = clipdet(t, append([]string{"models", "verify"}, dirs...)...)
		if code != exit.CodeDone || stderr != "" || strings.Count(stdout, "ok ") < 3 || strings.Contains(stdout, "problem") {
			t.Errorf("verify %s: exit code %d, stderr %q; want 0, nothing, and three lines of ok:\n%s", name, code, stderr, stdout)
		}
	}
	code, stdout, stderr := clipdet(t, "doctor", "--models", tinyModels, "--device", "cpu")
	if code != exit.CodeDone || stderr != "" {
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
		var got struct {
			Kind   model.Kind      `json:"kind"`
			Answer json.RawMessage `json:"known_answer"`
		}
		err := json.Unmarshal([]byte(stdout), &got)
		if code != exit.CodeDone || err != nil || got.Kind != e.Manifest.Kind || got.Answer == nil {
			t.Errorf("%s: exit code %d, kind %q (%v), stderr %q; want 0 and %q", e.Name, code, got.Kind, err, stderr, e.Manifest.Kind)
		}
	}
}
