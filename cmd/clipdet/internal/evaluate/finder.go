package evaluate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// finder finds pictures below a directory by the names that annotations give them.
type finder struct {
	dir string
	// below has the paths of all files by their base names; nil: not read yet.
	below map[string][]string
	// err is the error of reading below, which is then incomplete.
	err error
}

// find returns the path of a picture: DIR/name, or else the only file below DIR with the
// same base name. A name that leads out of DIR is an error.
func (f *finder) find(name string) (string, error) {
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) {
		return "", fmt.Errorf("the file_name %q leads out of the directory of pictures", name)
	}
	path := filepath.Join(f.dir, local)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, nil // opening it reports other errors
	}
	if f.below == nil {
		f.err = f.look()
	}
	if f.err != nil {
		return "", f.err
	}
	switch found := f.below[filepath.Base(local)]; len(found) {
	case 0:
		return "", fmt.Errorf("%s: %w, nor is a file of that name below %s", path, fs.ErrNotExist, f.dir)
	case 1:
		return found[0], nil
	default:
		return "", fmt.Errorf("%s: %w, and it may be %s or %s", path, fs.ErrNotExist, found[0], found[1])
	}
}

func (f *finder) look() error {
	f.below = map[string][]string{}
	return filepath.WalkDir(f.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			f.below[entry.Name()] = append(f.below[entry.Name()], path)
		}
		return err
	})
}
