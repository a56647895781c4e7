package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/clipdet/clipdet/pkg/internal/files"
)

// CacheDir returns the directory that embedded sets are copied to: $CLIPDET_HOME/models,
// or clipdet/models in os.UserCacheDir. If it can't be written, spill uses a directory of
// the user's own in os.TempDir.
func CacheDir() (string, error) {
	home := os.Getenv("CLIPDET_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		home = filepath.Join(cache, "clipdet")
	}
	return filepath.Join(home, "models"), nil
}

// spill makes sure that the file name of fsys is in a folder of a cache, and returns its
// path there. It compares an existing copy byte by byte. That costs less than hashing,
// and nothing has to be trusted.
func spill(ctx context.Context, fsys fs.FS, name, folder string) (string, error) {
	cache, err := CacheDir()
	if err == nil {
		path := filepath.Join(cache, folder, name)
		if err = ensure(ctx, fsys, name, path); err == nil {
			return path, nil
		}
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	temp, tempErr := ownTempDir()
	if tempErr == nil {
		path := filepath.Join(temp, folder, name)
		if tempErr = ensure(ctx, fsys, name, path); tempErr == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no place to keep %s: %w; set CLIPDET_HOME to a directory that can be written", name, errors.Join(err, tempErr))
}

// ownTempDir returns this user's directory in the shared os.TempDir. It refuses another
// user's directory, since that user could exchange the files later.
func ownTempDir() (string, error) {
	dir := filepath.Join(os.TempDir(), "clipdet-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 || !ownedByUser(info) {
		return "", fmt.Errorf("%s is not a directory that this user alone can write", dir)
	}
	return dir, nil
}

// ensure makes the file at path hold the content of name. It writes another file and
// renames it, so that a reader sees all or nothing, and two writers leave the same.
func ensure(ctx context.Context, fsys fs.FS, name, path string) error {
	if same, err := equal(ctx, fsys, name, path); err != nil || same {
		return err
	}
	source, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return files.Replace(path, 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, untilEnd{ctx, source})
		return err
	})
}

// equal reports whether the file at path holds exactly the content of name. It fails only
// if name can't be read.
func equal(ctx context.Context, fsys fs.FS, name, path string) (bool, error) {
	source, err := fsys.Open(name)
	if err != nil {
		return false, err
	}
	defer source.Close()
	copied, size, err := openRegular(path)
	if err != nil {
		return false, nil
	}
	defer copied.Close()
	if info, err := source.Stat(); err != nil || info.Size() != size {
		return false, err
	}
	want, got := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		n, err := io.ReadFull(untilEnd{ctx, source}, want)
		if n > 0 {
			if _, err := io.ReadFull(copied, got[:n]); err != nil || !bytes.Equal(want[:n], got[:n]) {
				return false, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return true, nil
		case err != nil:
			return false, err
		}
	}
}
