package archive

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

func embeddedTrio(t testing.TB) fstest.MapFS {
	files := fstest.MapFS{}
	for name, data := range trio(t) {
		files[name] = &fstest.MapFile{Data: data}
	}
	return files
}

func TestSpillWritesOnceAndRepairs(t *testing.T) {
	home := t.TempDir()
	t.Setenv("CLIPDET_HOME", home)
	embedded := embeddedTrio(t)
	resolve := func() string {
		t.Helper()
		files, err := Embedded(embedded, "test").Resolve(t.Context(), Auto)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(files.RPN.Path)
		if err != nil || !bytes.Equal(data, embedded["rpn.pt"].Data) {
			t.Fatalf("%s does not hold what is embedded (%v)", files.RPN.Path, err)
		}
		return files.RPN.Path
	}
	path := resolve()
	if !strings.HasPrefix(path, filepath.Join(home, "models", "test-")) {
		t.Errorf("spilled to %s, want it under models/test-* of CLIPDET_HOME", path)
	}
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	resolve()
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("a good copy was written again (%v)", err)
	}
	for name, damage := range map[string][]byte{
		"truncated": embedded["rpn.pt"].Data[:100],
		"changed":   bytes.Repeat([]byte{1}, len(embedded["rpn.pt"].Data)),
	} {
		write(t, path, damage)
		if resolve() != path {
			t.Errorf("%s: the copy moved", name)
		}
	}
	// Opening a pipe waits for a writer.
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if resolve() != path {
		t.Error("a pipe in its place: the copy moved")
	}
	embedded["rpn.pt"] = &fstest.MapFile{Data: archive(t, variant(RPN, BFloat16, ""))}
	if resolve() == path {
		t.Error("another content took the same path")
	}
	left, err := filepath.Glob(filepath.Join(home, "models", "*", ".partial-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files stay behind: %v (%v)", left, err)
	}
}

func TestSpillConcurrently(t *testing.T) {
	t.Setenv("CLIPDET_HOME", t.TempDir())
	embedded := embeddedTrio(t)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			files, err := Embedded(embedded, "test").Resolve(t.Context(), Auto)
			if err != nil {
				t.Error(err)
				return
			}
			for _, file := range []File{files.RPN, files.Image, files.Text} {
				if _, err := Inspect(file.Path); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestSpillFallsBackToTemp(t *testing.T) {
	// Not even root can make a directory below a file.
	blocked := write(t, filepath.Join(t.TempDir(), "file"), nil)
	temp := t.TempDir()
	t.Setenv("CLIPDET_HOME", blocked)
	t.Setenv("TMPDIR", temp)
	files, err := Embedded(embeddedTrio(t), "test").Resolve(t.Context(), Auto)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(files.Text.Path, temp) {
		t.Errorf("spilled to %s, want it under the temporary directory %s", files.Text.Path, temp)
	}

	own, err := ownTempDir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(own, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err = Embedded(embeddedTrio(t), "test").Resolve(t.Context(), Auto)
	if err == nil || !strings.Contains(err.Error(), "CLIPDET_HOME") || !strings.Contains(err.Error(), own) {
		t.Errorf("a temporary directory open to others: got %v, want a refusal that names it and CLIPDET_HOME", err)
	}

	t.Setenv("TMPDIR", blocked)
	_, err = Embedded(embeddedTrio(t), "test").Resolve(t.Context(), Auto)
	var path *fs.PathError
	if !errors.As(err, &path) || !strings.Contains(err.Error(), "CLIPDET_HOME") {
		t.Errorf("nowhere to write: got %v, want the file system's error and the way out", err)
	}
}

// BenchmarkWarmSpill20MB measures what a program with embedded models does at each start.
func BenchmarkWarmSpill20MB(b *testing.B) {
	weights := make([]byte, 20<<20)
	if _, err := rand.Read(weights); err != nil {
		b.Fatal(err)
	}
	b.Setenv("CLIPDET_HOME", b.TempDir())
	embedded := embeddedTrio(b)
	embedded["rpn.pt"] = &fstest.MapFile{Data: sealed(b, valid(RPN), entry{"net/data.pkl", nil}, entry{"net/data/0", weights})}
	for b.Loop() {
		if _, err := Embedded(embedded, "bench").Resolve(b.Context(), Auto); err != nil {
			b.Fatal(err)
		}
	}
}
