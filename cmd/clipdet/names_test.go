package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/box"
)

// TestSynonymsHideNothing asks the sample scenes for names of things in them, and then
// for other spellings and synonyms too. What was found must be found again, and stderr
// must name each pair.
func TestSynonymsHideNothing(t *testing.T) {
	measures(t)
	names := []string{"owl", "camera", "house", "sailboat", "scissors"}
	others := []string{"Owl", "photo camera", "House", "Sailboat", "SCISSORS"}
	find := func(names ...string) (map[string][]box.Box, string) {
		args := []string{"detect", filepath.Join(scenes, "*.jpg"), "--format", "jsonl"}
		for _, name := range names {
			args = append(args, "-q", name)
		}
		code, stdout, stderr := clipdet(t, args...)
		if code != exit.CodeDone {
			t.Fatalf("exit code %d, stderr %q", code, stderr)
		}
		found := map[string][]box.Box{}
		for line := range strings.Lines(stdout) {
			p := parse[picture](t, line)
			for _, d := range p.Detections {
				key := p.Image + " " + d.Query
				found[key] = append(found[key], d.Box)
			}
		}
		return found, withoutPace(stderr)
	}
	alone, said := find(names...)
	if said != "" || len(alone) < 5 {
		t.Fatalf("%d names are found, and stderr is %q; want some and nothing", len(alone), said)
	}
	among, said := find(append(others, names...)...)
	for key, boxes := range alone {
		if len(among[key]) < len(boxes) {
			t.Errorf("%s: found at %v, and at %v beside synonyms", key, boxes, among[key])
		}
	}
	for i, name := range names {
		if !strings.Contains(said, fmt.Sprintf("%q and %q are nearly the same", others[i], name)) {
			t.Errorf("stderr does not name %q and %q:\n%s", others[i], name, said)
		}
	}
}

// TestQueriesFile takes names from a file of lines and from a data set.
func TestQueriesFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "names.txt")
	if err := os.WriteFile(file, []byte("# pets\ndog\ncat=a cat|a kitten\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"detect", "--models", tinyModels, "--proposals", "5", "--threshold", "0", "--top-k", "1", "--alike", "1", filepath.Join(formats, "420.jpg")}
	for _, test := range []struct {
		more  []string
		names int
		code  int
		says  string
	}{
		{[]string{"--queries", file}, 2, exit.CodeDone, ""},
		{[]string{"--queries", file, "-q", "owl"}, 3, exit.CodeDone, ""},
		{[]string{"--queries", filepath.Join(scenes, "instances.json")}, 36, exit.CodeDone, ""},
		{[]string{"--queries", file, "--scores", "each"}, 2, exit.CodeDone, ""},
		{[]string{"--queries", file, "-q", "dog"}, 0, exit.CodeUsage, `"dog" is given twice`},
		{[]string{"--queries", file, "--max-queries", "1"}, 0, exit.CodeUsage, "line 3"},
		{[]string{"--queries", "none.txt"}, 0, exit.CodeUsage, "--queries: open none.txt"},
		{[]string{"-q", "dog", "--scores", "each", "--background", "none"}, 0, exit.CodeUsage, "--scores each"},
		{[]string{"-q", "dog", "--alike", "0"}, 0, exit.CodeUsage, "--alike 0"},
		{[]string{"-q", "a dog . a cat ."}, 1, exit.CodeDone, `"a dog . a cat ." is taken as one name; for several`},
		{[]string{"-q", "a, b", "-q", "c; d"}, 2, exit.CodeDone, `"a, b" is taken as one name (and 1 more like it)`},
	} {
		code, stdout, stderr := clipdet(t, append(args, test.more...)...)
		if code != test.code || !strings.Contains(stderr, test.says) || test.says == "" && stderr != "" {
			t.Errorf("%q: exit code %d, stderr %q; want %d and %q", test.more, code, stderr, test.code, test.says)
			continue
		}
		if test.code == exit.CodeDone {
			if got := parse[picture](t, stdout); len(got.Presence) != test.names {
				t.Errorf("%q: %d names are asked, want %d", test.more, len(got.Presence), test.names)
			}
		}
	}
}
