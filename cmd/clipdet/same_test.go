package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
)

var timings = regexp.MustCompile(`"timings_ms":\s*\{[^}]*\}`)

// TestSameBytes verifies that stdout and the files in --out are the same to the byte,
// except for the times in native JSON, regardless of batches, queues and concurrent runs.
func TestSameBytes(t *testing.T) {
	detect := func(more ...string) (map[string]string, error) {
		out := t.TempDir()
		args := append([]string{"detect", "-q", "dog", "-q", "a cat", "--models", tinyModels, "--device", "cpu", "--threads", "1", "--proposals", "20",
			"--templates", "none", "--background", "none", "--threshold", "0", "--text-cache", "", "--pictures", "--out", out}, more...)
		for _, name := range []string{"420.jpg", "rgba.png", "exif6.jpg"} {
			args = append(args, filepath.Join(formats, name))
		}
		code, stdout, stderr := clipdet(t, args...)
		if code != exit.CodeDone {
			return nil, fmt.Errorf("%q: exit code %d, want 0\n%s", args, code, stderr)
		}
		files := map[string]string{"stdout": timings.ReplaceAllString(stdout, "")}
		entries, err := os.ReadDir(out)
		for _, entry := range entries {
			data, err := os.ReadFile(filepath.Join(out, entry.Name()))
			if err != nil {
				return nil, err
			}
			files[entry.Name()] = timings.ReplaceAllString(string(data), "")
		}
		return files, err
	}
	want, err := detect()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(want); n != 2+3*3 || !strings.Contains(want["stdout"], `"cosine"`) {
		t.Fatalf("stdout and %d files, want detections, the results and three pictures of each of three:\n%s", n-1, want["stdout"])
	}
	same := func(way string, got map[string]string, err error) {
		if err != nil {
			t.Error(err)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if got[name] != want[name] {
				t.Errorf("%s: %s differs from that of a plain run", way, name)
			}
		}
	}
	for _, way := range [][]string{{"--batch", "1"}, {"--batch", "7"}, {"--batch", "64"}, {"--memory", "1"}} {
		got, err := detect(way...)
		same(fmt.Sprint(way), got, err)
	}
	var runs sync.WaitGroup
	for run := range 16 {
		runs.Go(func() {
			got, err := detect()
			same(fmt.Sprintf("run %d of 16 at once", run), got, err)
		})
	}
	runs.Wait()
}
