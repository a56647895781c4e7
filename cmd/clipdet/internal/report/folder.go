package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// marker tells the index.html of a report from others. It is in the first 512 bytes.
const marker = `<meta name="generator" content="clipdet report">`

const imagesName = "images"

// folder is the folder of a report, and a temporary folder inside it in which the report
// is written.
type folder struct{ dir, temp string }

func newFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := vacant(dir); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(dir, ".partial-*")
	if err != nil {
		return nil, err
	}
	f := &folder{dir, temp}
	if err := os.Mkdir(f.images(), 0o755); err != nil {
		return nil, errors.Join(err, f.clean())
	}
	return f, nil
}

func (f *folder) index() string  { return filepath.Join(f.temp, "index.html") }
func (f *folder) images() string { return filepath.Join(f.temp, imagesName) }

// vacant returns an error if a report can't be written to dir because it would replace
// other files.
func vacant(dir string) error {
	path := filepath.Join(dir, "index.html")
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		path = filepath.Join(dir, imagesName)
		if _, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return fmt.Errorf("%w: %s is of no report; choose an empty folder", ErrOccupied, path)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	head, err := io.ReadAll(io.LimitReader(file, 512))
	if err != nil {
		return err
	}
	if !bytes.Contains(head, []byte(marker)) {
		return fmt.Errorf("%w: %s is no report; choose an empty folder", ErrOccupied, path)
	}
	return nil
}

// publish renames the files to their final names. If that fails, it restores the earlier
// pictures.
func (f *folder) publish() error {
	images, old := filepath.Join(f.dir, imagesName), filepath.Join(f.temp, "old")
	err := os.Rename(images, old)
	had := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err = os.Rename(f.images(), images); err == nil {
		err = os.Rename(f.index(), filepath.Join(f.dir, "index.html"))
		if err == nil {
			return nil
		}
		err = errors.Join(err, os.Rename(images, f.images()))
	}
	if had {
		err = errors.Join(err, os.Rename(old, images))
	}
	return err
}

// clean removes the temporary folder.
func (f *folder) clean() error { return os.RemoveAll(f.temp) }
