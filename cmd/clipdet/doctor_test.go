package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
)

// The tests here provoke real faults, in another process if needed. The findings have
// their tests in internal/doctor.

func TestDoctorFindsALimitOnTheAddressSpace(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limit := fmt.Sprintf("ulimit -v %d; exec \"$0\" \"$@\"", atStart+400_000)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", limit, self, "doctor", "--models", tinyModels)
	cmd.Env = append(os.Environ(), asCommand+"=1", "CLIPDET_HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != exit.CodeSetup {
		t.Errorf("got %v, want exit code %d", err, exit.CodeSetup)
	}
	for _, part := range []string{"problem  memory", "by ulimit -v", "raise ulimit -v by", "problem  models    not run"} {
		if !strings.Contains(string(out), part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
}

func TestDoctorFindsCachesThatCanNotBeWritten(t *testing.T) {
	// Not even root can write below a file.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CLIPDET_HOME", file)
	code, stdout, _ := clipdet(t, "doctor", "--models", tinyModels, "--device", "cpu")
	if code != 0 || strings.Count(stdout, "warning  cache") != 2 || !strings.Contains(stdout, "fix: set CLIPDET_HOME to") || !strings.Contains(stdout, "--text-cache") {
		t.Errorf("exit code %d, want 0 and two caches:\n%s", code, stdout)
	}
	// Detection must work there as doctor says, also with the built-in models.
	code, stdout, stderr := clipdet(t, "detect", "--device", "cpu", "-q", "dog", filepath.Join(formats, "420.jpg"))
	if code != 0 || stdout == "" {
		t.Errorf("detect: exit code %d, want 0 and output:\n%s%s", code, stdout, stderr)
	}
}

func TestDoctorFindsDamagedModels(t *testing.T) {
	whole := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(tinyModels, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	tests := []struct {
		name, file string
		data       []byte
		says       []string
	}{
		{"truncated", rpnFile, whole(rpnFile)[:1000], []string{"rpn.pt: not a TorchScript archive", "fix: export the models again"}},
		{"a byte of a weight changed", imageFile, flipWeight(t, whole(imageFile)), []string{"clip-image.pt", "not as it was exported", "fix: export the models again"}},
		{"weights edited", imageFile, readArchive(t, imageFile).otherWeights().pack(t), []string{"clip-image.pt", "not as it was exported", "fix: export the models again"}},
		{"weights edited, digest made anew", imageFile, readArchive(t, imageFile).otherWeights().seal().pack(t), []string{"answer differs from the known answer", "fix: try --dtype float32"}},
		{"the wrong kind", imageFile, whole(textFile), []string{"no clip-image; there are clip-image.pt (clip-text in float32)", "fix: take --models"}},
		{"no archive", textFile, []byte("<html>404</html>"), []string{"clip-text.pt: not a TorchScript archive", "fix: export"}},
	}
	for _, test := range tests {
		dir := t.TempDir()
		if err := errors.Join(os.CopyFS(dir, os.DirFS(tinyModels)), os.WriteFile(filepath.Join(dir, test.file), test.data, 0o600)); err != nil {
			t.Fatal(err)
		}
		code, stdout, _ := clipdet(t, "doctor", "--models", dir, "--device", "cpu")
		if code != exit.CodeSetup || strings.Count(stdout, "problem ") != 1 {
			t.Errorf("%s: exit code %d, want %d and one problem:\n%s", test.name, code, exit.CodeSetup, stdout)
		}
		for _, part := range test.says {
			if !strings.Contains(stdout, part) {
				t.Errorf("%s: no %q in\n%s", test.name, part, stdout)
			}
		}
	}
}
