package detect

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/model"
)

// TestAFileExchangedWhileItIsLoaded checks that no model is used that is exchanged between
// its hash and libtorch's own reading.
func TestAFileExchangedWhileItIsLoaded(t *testing.T) {
	tiny, dir := filepath.Dir(torchtest.Tiny(t).RPN.Path), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(tiny)); err != nil {
		t.Fatal(err)
	}
	data, err := model.LockDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "lock.json")
	if err := errors.Join(err, os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	set := model.Locked(path, dir)
	detector, err := Open(t.Context(), Options{Models: set, Device: "cpu", Threads: 1, OnDemand: true})
	if err != nil {
		t.Fatal(err)
	}
	defer detector.Close()
	if err := os.Chtimes(detector.files.Text.Path, time.Now(), time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := detector.Queries(t.Context(), Query{Name: "cat"}); !errors.Is(err, model.ErrNotLocked) {
		t.Errorf("loading a file that was touched: got %v, want model.ErrNotLocked", err)
	}
	if _, err := verify(t.Context(), detector.files.Text, torch.CPU); !errors.Is(err, model.ErrNotLocked) {
		t.Errorf("verifying a file that was touched: got %v, want model.ErrNotLocked", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rpn.pt"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Models: set, Device: "cpu"}); !errors.Is(err, model.ErrNotLocked) {
		t.Errorf("opening another file: got %v, want model.ErrNotLocked", err)
	}
}
