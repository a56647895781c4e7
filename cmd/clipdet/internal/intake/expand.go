package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// extensions are the extensions of the files that a directory stands for. A file given by
// its name is tried regardless of its extension.
var extensions = []string{".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"}

// Stdin is the argument that stands for the picture on stdin.
const Stdin = "-"

// Found is what arguments stand for.
type Found struct {
	Inputs []Input
	Notes  []string // what was not taken, for people
	List   bool     // whether to write a list of results, even if there is one input
	// Root is the deepest folder that holds the files, directories and patterns that were
	// named, as an absolute path. A directory that was named is its own. It is empty if
	// there are only URLs and stdin.
	Root string
}

// Expand returns the pictures that the arguments stand for, in their order. A file, a URL
// or - stands for itself. A directory stands for the pictures in it, sorted, without
// hidden files and, unless f.Recursive is set, without its own directories. A pattern,
// which a shell may have left unexpanded, stands for each of its matches; ** stands for
// any number of directories. An argument that stands for nothing becomes an Input with an
// error, so that the error is reported in its place. A picture that occurs again is taken
// again.
//
// Expand fails if f.FilesFrom can't be read or names nothing, or if stdin would be read
// twice.
func (f *Flags) Expand(args []string, stdin io.Reader) (Found, error) {
	e := expansion{flags: f, stdin: stdin, found: Found{List: len(args) != 1 || f.FilesFrom != ""}}
	for _, arg := range args {
		if err := e.argument(arg); err != nil {
			return Found{}, err
		}
	}
	if f.FilesFrom != "" {
		if err := e.list(f.FilesFrom); err != nil {
			return Found{}, err
		}
	}
	if f.Frames == AllFrames {
		e.frames(f.Limits)
	}
	if f.FPS > 0 {
		e.videos(f.FPS)
	}
	return e.found, nil
}

// Expand is Flags.Expand without flags, for arguments that are files, directories and
// patterns.
func Expand(args []string) []Input {
	found, err := new(Flags).Expand(args, nil)
	if err != nil {
		return []Input{{Path: Stdin, Err: err}}
	}
	return found.Inputs
}

// Files returns the files of inputs, for [files.CheckDistinct].
func Files(inputs []Input) []files.Named {
	var named []files.Named
	for _, in := range inputs {
		if in.Path != Stdin && !isURL(in.Path) {
			named = append(named, files.GivenBy("a picture", in.Path))
		}
	}
	return named
}

// expansion is a call of Expand.
type expansion struct {
	flags  *Flags
	stdin  io.Reader
	taken  bool // whether stdin has a use
	found  Found
	unread map[string]int // of a directory, by kind
}

func (e *expansion) add(path string, err error) {
	e.found.Inputs = append(e.found.Inputs, Input{Path: path, Err: err})
}

// within makes the root hold a folder.
func (e *expansion) within(folder string) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return // no working directory, so nothing relative is read
	}
	if e.found.Root == "" {
		e.found.Root = folder
	}
	for e.found.Root != folder && !strings.HasPrefix(folder, strings.TrimSuffix(e.found.Root, "/")+"/") {
		e.found.Root = filepath.Dir(e.found.Root)
	}
}

// takeStdin fails if stdin has a use already.
func (e *expansion) takeStdin() error {
	if e.taken || e.stdin == nil {
		return errors.New("-: stdin can be read once")
	}
	e.taken = true
	return nil
}

func (e *expansion) argument(arg string) error {
	switch {
	case arg == Stdin:
		if err := e.takeStdin(); err != nil {
			return err
		}
		e.found.Inputs = append(e.found.Inputs, Input{Path: Stdin, read: func(_ context.Context, limits pixels.Limits) (*pixels.RGB, error) {
			return pixels.Decode(e.stdin, limits)
		}})
		return nil
	case isURL(arg):
		e.found.Inputs = append(e.found.Inputs, e.flags.remote(arg))
		return nil
	}
	pattern, ok := asPattern(arg)
	if !ok {
		e.path(arg)
		return nil
	}
	e.found.List = true
	base, _ := doublestar.SplitPattern(pattern)
	e.within(plain.Replace(base))
	var matches []string
	var err error
	deep := isDeep(arg)
	if deep {
		matches, err = doublestar.FilepathGlob(pattern, doublestar.WithFilesOnly(), doublestar.WithNoHidden(), doublestar.WithNoFollow())
	} else {
		matches, err = filepath.Glob(pattern)
	}
	if err != nil {
		e.add(arg, fmt.Errorf("bad pattern: %w", err))
		return nil
	}
	slices.Sort(matches)
	if deep && filepath.Base(arg) == "**" { // everything below a directory
		e.unread = map[string]int{}
		matches = slices.DeleteFunc(matches, func(path string) bool { return !e.isPicture(path) })
		e.note(arg)
	}
	if len(matches) == 0 {
		e.add(arg, errors.New("no file matches this pattern"))
	}
	for _, match := range matches {
		e.path(match)
	}
	return nil
}

// asPattern returns the pattern that an argument is. ok is false if a file has this very
// name, or if the argument looks like no pattern.
func asPattern(arg string) (pattern string, ok bool) {
	if _, err := os.Lstat(arg); !errors.Is(err, fs.ErrNotExist) || !strings.ContainsAny(arg, "*?[") {
		return "", false
	}
	return literal(filepath.Clean(arg)), true
}

// isDeep reports whether a pattern reaches into the directories inside directories.
func isDeep(pattern string) bool { return strings.Contains(pattern, "**") }

// Covers reports whether Expand would take the picture at path, a clean path, for an
// argument that is a directory or a pattern, if the picture were there.
func (f *Flags) Covers(arg, path string) bool {
	pattern, ok := asPattern(arg)
	if !ok {
		info, err := os.Stat(arg)
		return err == nil && info.IsDir() && slices.Contains(f.foldersOf(path), filepath.Clean(arg))
	}
	if isDeep(arg) {
		matches, err := doublestar.PathMatch(pattern, path)
		return err == nil && matches
	}
	for _, place := range append(f.foldersOf(path), path) { // a directory that matches stands for its pictures
		if matches, err := filepath.Match(pattern, place); err == nil && matches {
			return true
		}
	}
	return false
}

// foldersOf returns the directories that stand for a picture in them, among others. Hidden
// ones in another don't count there.
func (f *Flags) foldersOf(path string) []string {
	folder := filepath.Dir(path)
	folders := []string{folder}
	for f.Recursive && filepath.Dir(folder) != folder && !strings.HasPrefix(filepath.Base(folder), ".") {
		folder = filepath.Dir(folder)
		folders = append(folders, folder)
	}
	return folders
}

// literal returns a pattern in which the first folders, as far as folders of these very
// names are there, are no patterns: "[new] photos/*.jpg" is of the folder "[new] photos".
func literal(pattern string) string {
	at := 0 // where the folders end
	for i := range pattern {
		if pattern[i] != '/' || i == 0 {
			continue
		}
		if info, err := os.Stat(pattern[:i]); err != nil || !info.IsDir() {
			break
		}
		at = i
	}
	return special.Replace(pattern[:at]) + pattern[at:]
}

// special escapes what means something in patterns, and plain undoes it.
var (
	special = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "{", `\{`)
	plain   = strings.NewReplacer(`\\`, `\`, `\*`, "*", `\?`, "?", `\[`, "[", `\{`, "{")
)

// path adds a file or what a directory holds.
func (e *expansion) path(path string) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		e.within(filepath.Dir(path))
		e.add(path, nil)
		return
	}
	e.found.List = true
	e.within(path)
	e.directory(path)
}

func (e *expansion) directory(dir string) {
	before := len(e.found.Inputs)
	e.unread = map[string]int{}
	root := filepath.Clean(dir) + string(filepath.Separator) // of a link, what it leads to
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case path == root:
			return err
		case err != nil: // of a directory below
			e.add(path, err)
			return fs.SkipDir
		case strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case entry.IsDir():
			if !e.flags.Recursive {
				e.unread[folders]++
				return fs.SkipDir
			}
		case entry.Type()&fs.ModeSymlink != 0 && isFolder(path):
			e.unread[links]++
		case e.isPicture(path):
			e.add(path, nil)
		}
		return nil
	})
	if err != nil {
		e.add(dir, err)
		return
	}
	if len(e.found.Inputs) == before {
		e.add(dir, fmt.Errorf("the directory holds no picture (%s)%s", strings.Join(extensions, ", "), e.kinds("; it has ")))
		return
	}
	e.note(dir)
}

// The kinds of directories that aren't read.
const (
	folders = "directory"
	links   = "link to a directory" // it may lead back
)

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// isPicture reports whether a file has the name of a picture, and counts it by its kind
// if not.
func (e *expansion) isPicture(path string) bool {
	extension := strings.ToLower(filepath.Ext(path))
	if slices.Contains(extensions, extension) || e.flags.FPS > 0 && isVideo(path) {
		return true
	}
	e.unread[cmp.Or(extension, "without an extension")]++
	return false
}

// note adds what a directory holds that isn't read.
func (e *expansion) note(dir string) {
	if kinds := e.kinds(": not read: "); kinds != "" {
		e.found.Notes = append(e.found.Notes, dir+kinds)
	}
}

// kinds lists the kinds that are not read, the most frequent first, after lead.
func (e *expansion) kinds(lead string) string {
	const most = 8
	kinds := slices.SortedFunc(maps.Keys(e.unread), func(a, b string) int {
		return cmp.Or(cmp.Compare(e.unread[b], e.unread[a]), cmp.Compare(a, b))
	})
	var parts []string
	rest := 0
	for i, kind := range kinds {
		n := e.unread[kind]
		switch {
		case i >= most:
			rest += n
		case kind == folders && n == 1:
			parts = append(parts, "1 directory (--recursive reads it)")
		case kind == folders:
			parts = append(parts, fmt.Sprintf("%d directories (--recursive reads them)", n))
		case kind == links && n > 1:
			parts = append(parts, fmt.Sprintf("%d links to directories", n))
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	if rest > 0 {
		parts = append(parts, fmt.Sprintf("%d of other kinds", rest))
	}
	if len(parts) == 0 {
		return ""
	}
	return lead + strings.Join(parts, ", ")
}
