package files

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceLeavesAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	target := filepath.Join(t.TempDir(), "target")
	if err := errors.Join(os.WriteFile(target, []byte("old"), 0o600), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("the disk is full")
	err := Replace(path, 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, failure)
	})
	if data, read := os.ReadFile(path); !errors.Is(err, failure) || read != nil || string(data) != "old" {
		t.Errorf("after %v the file holds %q (%v), want the failure and what was there", err, data, read)
	}
	err = Replace(path, 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, "new")
		return err
	})
	info, stat := os.Lstat(path)
	if err != nil || stat != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v, and %v (%v); want a regular file that its owner alone may read", err, info, stat)
	}
	new, _ := os.ReadFile(path)
	old, _ := os.ReadFile(target)
	if string(new) != "new" || string(old) != "old" {
		t.Errorf("the file holds %q, and where its link led %q", new, old)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v lies in the folder (%v), want the file alone", left, err)
	}
}

func TestReadAllIsBounded(t *testing.T) {
	for text, whole := range map[string]bool{"": true, "1234": true, "12345": false} {
		data, err := ReadAll(strings.NewReader(text), 4)
		if whole && (err != nil || string(data) != text) || !whole && (!errors.Is(err, ErrTooLarge) || data != nil) {
			t.Errorf("%q: got %q and %v", text, data, err)
		}
	}
}
