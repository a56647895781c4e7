package evaluate

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/eval"
)

// finder finds pictures below a directory by the names that annotations give them.
type finder struct {
	dir string
	// below has the paths of all files by their base names, and folded by the folded ones;
	// nil: not read yet.
	below, folded map[string][]string
	// err is the error of reading below, which is then incomplete.
	err error
}

// inputsOf returns the pictures of images in dir, or the error of each that isn't found.
func inputsOf(images []eval.Image, dir string) []intake.Input {
	inputs := make([]intake.Input, len(images))
	find := finder{dir: dir}
	for i, image := range images {
		inputs[i].Path, inputs[i].Err = find.find(image.FileName)
	}
	return inputs
}

// find returns the path of a picture: DIR/name, or else the only file below DIR with the
// same base name. A name also stands for the name with \ as a separator, with %20 for a
// space, or with letters and accents composed in the other way. An absolute name may lie
// below DIR. A name that leads out of DIR is an error, unless a file below DIR has its
// base name.
func (f *finder) find(name string) (string, error) {
	forms := forms(name)
	var first string // the path of the first form
	for _, form := range forms {
		local, ok := f.local(form)
		if !ok {
			continue
		}
		path := filepath.Join(f.dir, local)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil // opening it reports other errors
		}
		if first == "" {
			first = path
		}
	}
	if f.below == nil {
		f.err = f.look()
	}
	if f.err != nil {
		return "", f.err
	}
	missing := fmt.Errorf("%s: %w", first, fs.ErrNotExist)
	if first == "" {
		missing = fmt.Errorf("the file_name %q leads out of the directory of pictures", name)
	}
	switch found := f.named(forms); len(found) {
	case 0:
		return "", fmt.Errorf("%w, nor is a file of that name below %s", missing, f.dir)
	case 1:
		return found[0], nil
	default:
		return "", fmt.Errorf("%w, and it may be %s or %s", missing, found[0], found[1])
	}
}

// forms returns the names that a name may stand for, itself first.
func forms(name string) []string {
	all := []string{name, strings.ReplaceAll(name, `\`, "/")}
	for _, form := range all[:2] {
		if plain, err := url.PathUnescape(form); err == nil {
			all = append(all, plain)
		}
	}
	for _, form := range slices.Clone(all) {
		all = append(all, norm.NFC.String(form), norm.NFD.String(form))
	}
	var distinct []string
	for _, form := range all {
		if form != "" && !slices.Contains(distinct, form) {
			distinct = append(distinct, form)
		}
	}
	return distinct
}

// local returns a name as a path within the directory, and reports false if it leads out.
func (f *finder) local(name string) (string, bool) {
	local := filepath.FromSlash(name)
	if filepath.IsAbs(local) {
		dir, err := filepath.Abs(f.dir)
		if err == nil {
			local, err = filepath.Rel(dir, local)
		}
		if err != nil {
			return "", false
		}
	}
	return local, filepath.IsLocal(local)
}

// named returns the files below the directory with the base name of one of the forms, or
// else with one that differs in capitals and accents' composition alone.
func (f *finder) named(forms []string) []string {
	for _, form := range forms {
		if found := f.below[filepath.Base(form)]; len(found) > 0 {
			return found
		}
	}
	for _, form := range forms {
		if found := f.folded[folded(filepath.Base(form))]; len(found) > 0 {
			return found
		}
	}
	return nil
}

func folded(name string) string { return strings.ToLower(norm.NFC.String(name)) }

func (f *finder) look() error {
	f.below, f.folded = map[string][]string{}, map[string][]string{}
	return filepath.WalkDir(f.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name := entry.Name()
			f.below[name] = append(f.below[name], path)
			f.folded[folded(name)] = append(f.folded[folded(name)], path)
		}
		return err
	})
}
