package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/s3test"
)

// TestBucket has the list, the queries, the pictures and the results on a real S3 server,
// which is named by the environment, as workers of a cluster have it.
func TestBucket(t *testing.T) {
	const shards = 3
	local := copies(t, 12)
	paths, err := os.ReadFile(local)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(local, append(paths, filepath.Join(filepath.Dir(local), "missing.jpg")+"\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	want := oneMachine(t, local, shards)

	program, err := s3test.Install(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := s3test.New(t, program)
	t.Setenv("AWS_ENDPOINT_URL", "http://"+server.Address)
	t.Setenv("AWS_REGION", "us-east-1")
	if err := os.CopyFS(server.File("photos"), os.DirFS(filepath.Dir(local))); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(local)
	if err != nil {
		t.Fatal(err)
	}
	inBucket := func(text string) string { return strings.ReplaceAll(text, filepath.Dir(local), "s3://bucket/photos") }
	for name, text := range map[string]string{"list.txt": inBucket(string(list)), "names.txt": "owl\ncamera\n"} {
		if err := os.WriteFile(server.File(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	flags := []string{"--list", "s3://bucket/list.txt", "--shards", fmt.Sprint(shards)}
	flags = append(flags, choices[4:]...) // without -q
	detected := append([]string{"--out", "s3://bucket/found", "--queries", "s3://bucket/names.txt"}, flags...)
	for again := range 2 {
		code, stderr := start(t, exec.Command(os.Args[0], detected...))
		if code != codeInputs || !strings.Contains(stderr, "3 of 3 shards are done; 1 dead letters") {
			t.Fatalf("exit code %d, %s", code, stderr)
		}
		if got := strings.Count(stderr, "there already"); got != again*shards {
			t.Errorf("%d shards were there already, want %d", got, again*shards)
		}
	}
	for i := range shards {
		got, errGot := shardText(server.File("found"), i+1)
		one, errOne := shardText(want, i+1)
		if errGot != nil || errOne != nil {
			t.Fatal(errGot, errOne)
		}
		if got, one = withoutErrors(got), withoutErrors(inBucket(one)); got != one {
			t.Errorf("%s isn't as on one machine:\n%.2000s\nwant\n%.2000s", shardName(i+1), got, one)
		}
	}
	if dead := letters(t, server.File("found/dead"), 1); len(dead) != 1 || dead[0]["image"] != "s3://bucket/photos/missing.jpg" {
		t.Errorf("the dead letters of shard 1 are %v, want one of missing.jpg", dead)
	}

	indexed := append([]string{"--mode", "index", "--out", "s3://bucket/index"}, flags[:4]...)
	indexed = append(indexed, "--models", tinyModels, "--device", "cpu", "--dtype", "float32", "--threads", "1", "--proposals", "5")
	if code, stderr := start(t, exec.Command(os.Args[0], indexed...)); code != codeInputs || !strings.Contains(stderr, "3 of 3 shards are done; 1 dead letters") {
		t.Fatalf("index: exit code %d, %s", code, stderr)
	}
	if code, stderr := start(t, exec.Command(clipdet, "index", "verify", server.File("index"))); code != codeDone {
		t.Errorf("index verify: exit code %d, %s", code, stderr)
	}
}

// withoutErrors returns the lines of a shard without the errors' texts, which differ between
// a bucket and a folder.
func withoutErrors(shard string) string {
	var kept strings.Builder
	for line := range strings.Lines(shard) {
		before, _, _ := strings.Cut(line, `"error":`)
		kept.WriteString(strings.TrimRight(before, "\n") + "\n")
	}
	return kept.String()
}
