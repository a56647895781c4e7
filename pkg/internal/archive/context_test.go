package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadingEndsWithItsContext checks that reading ends with the context, at the next
// block.
func TestReadingEndsWithItsContext(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	blocks := 0
	endless := readerFunc(func(p []byte) (int, error) {
		if blocks++; blocks == 3 {
			cancel(cause)
		}
		return len(p), nil
	})
	if _, _, err := sha256Of(ctx, endless); !errors.Is(err, cause) || blocks != 3 {
		t.Errorf("got %v after %d blocks, want the cause after 3", err, blocks)
	}
	if _, err := io.Copy(io.Discard, untilEnd{ctx, bytes.NewReader(make([]byte, 9))}); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestSetsEndWithTheirContext checks that everything that hashes or copies an archive
// ends with its context, and returns its cause.
func TestSetsEndWithTheirContext(t *testing.T) {
	t.Setenv("CLIPDET_HOME", t.TempDir())
	tiny := "../../../testdata/models/tiny"
	lock := filepath.Join(t.TempDir(), "lock.json")
	locked, err := LockDir(t.Context(), tiny)
	if err != nil {
		t.Fatal(err)
	}
	text, err := locked.JSON()
	if err == nil {
		err = os.WriteFile(lock, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	for name, read := range map[string]func() error{
		"a directory":  func() error { _, err := Dir(tiny).Resolve(ctx, Auto); return err },
		"a locked one": func() error { _, err := Locked(lock, tiny).Resolve(ctx, Auto); return err },
		"embedded":     func() error { _, err := Embedded(os.DirFS(tiny), "tiny").Resolve(ctx, Auto); return err },
		"a lock":       func() error { _, err := LockDir(ctx, tiny); return err },
		"a file":       func() error { return Check(ctx, filepath.Join(tiny, "rpn.pt")) },
	} {
		if err := read(); !errors.Is(err, cause) || strings.Contains(err.Error(), "CLIPDET_HOME") {
			t.Errorf("%s: got %v, want the context's cause alone", name, err)
		}
	}
}
