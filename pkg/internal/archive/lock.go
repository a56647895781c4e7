package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clipdet/clipdet/pkg/internal/files"
)

var (
	// ErrLock is returned if a lock file can't be used.
	ErrLock = errors.New("unusable lock file")
	// ErrNotLocked is returned if a directory differs from its lock file: in a file, its
	// content, a file too many or a file too few.
	ErrNotLocked = errors.New("models are not those of the lock file")
)

// lockFormat is the version of lock files that this package reads.
const lockFormat = 1

// lockLimit is the largest number of bytes of a lock file. Real ones have about 1 KB.
const lockLimit = 1 << 20

// Lock names the archives of a directory and their content. As JSON it is a lock file,
// from which [Locked] makes a set of these archives and no others.
type Lock struct {
	Format int          `json:"format"`
	Files  []LockedFile `json:"files"` // in the order of their names
}

// LockedFile is one archive of a [Lock].
type LockedFile struct {
	Name   string `json:"name"` // without its directory
	Kind   Kind   `json:"kind"`
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // of the whole file, 64 lower-case hex digits
}

// LockDir reads the archives of a directory, all of every one, and returns their Lock.
// Like [Dir], it leaves out files without a manifest. It fails with the errors of
// [Set.Resolve] and [Check], since models that make no detector need no lock.
func LockDir(ctx context.Context, dir string) (Lock, error) {
	set := Dir(dir)
	if _, err := set.Resolve(ctx, Auto); err != nil {
		return Lock{}, err
	}
	entries, err := set.List()
	if err != nil {
		return Lock{}, err
	}
	lock := Lock{Format: lockFormat}
	for _, entry := range entries {
		if entry.Err != nil {
			continue // without a manifest: Resolve fails on other errors
		}
		path := filepath.Join(dir, entry.Name)
		if err := Check(ctx, path); err != nil {
			return Lock{}, err
		}
		file, err := os.Open(path)
		if err != nil {
			return Lock{}, err
		}
		sum, size, err := sha256Of(ctx, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return Lock{}, err
		}
		lock.Files = append(lock.Files, LockedFile{entry.Name, entry.Manifest.Kind, size, sum})
	}
	return lock, lock.validate()
}

// JSON returns the lock file.
func (l Lock) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(l, "", "  ")
	return append(text, '\n'), err
}

// parseLock reads the JSON of a lock file and validates it. Its errors wrap [ErrLock].
func parseLock(data []byte) (Lock, error) {
	var lock Lock
	if err := json.Unmarshal(data, &lock); err != nil {
		return Lock{}, fmt.Errorf("%w: %w; write it again with 'clipdet models lock'", ErrLock, err)
	}
	if err := lock.validate(); err != nil {
		return Lock{}, err
	}
	return lock, nil
}

// validate reports every entry that is missing, given twice or out of range. A name must
// be the name of a *.pt file in the directory itself. Errors wrap [ErrLock].
func (l Lock) validate() error {
	if l.Format != lockFormat {
		return fmt.Errorf("%w: format is %d and this clipdet reads %d; write it again with 'clipdet models lock'", ErrLock, l.Format, lockFormat)
	}
	var c checks
	if len(l.Files) == 0 {
		c.fail("files", "want at least one")
	}
	seen := map[string]bool{}
	for i, file := range l.Files {
		at := fmt.Sprintf("files[%d].", i)
		if !plainName(file.Name) {
			c.fail(at+"name", "want the name of a *.pt file without a directory, got %q", file.Name)
		}
		if seen[file.Name] {
			c.fail(at+"name", "%q is there twice", file.Name)
		}
		seen[file.Name] = true
		c.oneOf(at+"kind", string(file.Kind), []string{string(RPN), string(CLIPImage), string(CLIPText)})
		if file.Size < 1 {
			c.fail(at+"size", "want a positive number of bytes, got %d", file.Size)
		}
		c.sha256(at+"sha256", file.SHA256)
	}
	if len(c) > 0 {
		return fmt.Errorf("%w: %s; write it again with 'clipdet models lock'", ErrLock, strings.Join(c, "; "))
	}
	return nil
}

// plainName reports whether a name is the name of a *.pt file and of no other directory.
func plainName(name string) bool {
	return fs.ValidPath(name) && strings.HasSuffix(name, ".pt") && !strings.ContainsAny(name, `/\`) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Locked returns the set of the archives that the lock file at path names, in the
// directory dir, or in the lock file's directory if dir is "". It refuses with
// [ErrNotLocked] a file that differs by a byte, a missing file, a file that has a
// manifest but no entry in the lock, and a link that leads out of the directory. An empty
// path is [ErrLock], and not a set without a lock.
//
// [Set.Resolve] and [Set.File] hash the whole archives that they return. libtorch then
// opens them again by their paths. [File.Unchanged] reports whether they were changed in
// between.
func Locked(path, dir string) Set {
	if dir == "" {
		dir = filepath.Dir(path)
	}
	return Set{dir: dir, locked: true, lock: path}
}

func readLock(path string) (Lock, error) {
	if path == "" {
		return Lock{}, fmt.Errorf("%w: its path is empty", ErrLock)
	}
	file, err := files.Open(path)
	if err != nil {
		return Lock{}, fmt.Errorf("%w: %w", ErrLock, err)
	}
	defer file.Close()
	data, err := files.ReadAll(file, lockLimit)
	switch {
	case errors.Is(err, files.ErrTooLarge):
		return Lock{}, fmt.Errorf("%s: %w: more than %d bytes; write it again with 'clipdet models lock'", path, ErrLock, lockLimit)
	case err != nil:
		return Lock{}, fmt.Errorf("%w: %w", ErrLock, err)
	}
	lock, err := parseLock(data)
	if err != nil {
		return Lock{}, fmt.Errorf("%s: %w", path, err)
	}
	return lock, nil
}

// listLocked is List of a locked set. It compares everything except the hash: reading all
// weights takes long, and only the archives that are used need it.
func (s Set) listLocked() ([]Entry, error) {
	lock, err := readLock(s.lock)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %v: %w", ErrMissing, s, err)
	}
	defer root.Close()
	entries, err := list(root.FS())
	if err != nil {
		return nil, fmt.Errorf("%w: %v: %w", ErrMissing, s, err)
	}
	for _, file := range lock.Files {
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == file.Name })
		if i < 0 {
			entries = append(entries, Entry{Name: file.Name, Err: fmt.Errorf("%w: it is missing: %w", ErrNotLocked, fs.ErrNotExist)})
			continue
		}
		entries[i].locked = file
		switch e := &entries[i]; {
		case errors.Is(e.Err, ErrNoManifest): // other sets leave it out
			e.Err = fmt.Errorf("%w: %s", ErrNotLocked, e.Err.Error())
		case e.Err != nil:
			e.Err = fmt.Errorf("%w: %w", ErrNotLocked, e.Err)
		case e.Size != file.Size:
			e.Err = fmt.Errorf("%w: it has %d bytes, not %d", ErrNotLocked, e.Size, file.Size)
		case e.Manifest.Kind != file.Kind:
			e.Err = fmt.Errorf("%w: its manifest says kind %q, not %q", ErrNotLocked, e.Manifest.Kind, file.Kind)
		}
	}
	for i, e := range entries {
		if e.locked.Name == "" && !errors.Is(e.Err, ErrNoManifest) && !errors.Is(e.Err, ErrNotLocked) {
			entries[i].Err = fmt.Errorf("%w: it is not in the lock: remove it, or lock the directory again if you trust it", ErrNotLocked)
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// placeLocked hashes an archive of a locked set. It returns what it read from the same
// open file.
func (s Set) placeLocked(ctx context.Context, entry Entry) (File, error) {
	refuse := func(err error) (File, error) { return File{}, fmt.Errorf("%v: %s: %w", s, entry.Name, err) }
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return refuse(err)
	}
	defer root.Close()
	file, err := root.Open(entry.Name)
	if err != nil {
		return refuse(err)
	}
	defer file.Close()
	seen, err := file.Stat()
	if err != nil {
		return refuse(err)
	}
	sum, size, err := sha256Of(ctx, file)
	if err != nil {
		return refuse(err)
	}
	if sum != entry.locked.SHA256 {
		return refuse(fmt.Errorf("%w: its sha256 is %s, not %s: take the right file, or lock the directory again if you trust it",
			ErrNotLocked, sum, entry.locked.SHA256))
	}
	found, err := openArchive(file, size)
	if err != nil {
		return refuse(err)
	}
	m, err := found.manifest()
	if err != nil {
		return refuse(err)
	}
	if m.Digest != entry.Manifest.Digest { // the manifest that it was picked by
		return refuse(fmt.Errorf("%w: it was exchanged while it was read", ErrNotLocked))
	}
	return File{Path: filepath.Join(s.dir, entry.Name), Manifest: m, seen: seen, locked: true}, nil
}

func sha256Of(ctx context.Context, file io.Reader) (sum string, size int64, err error) {
	h := sha256.New()
	size, err = io.Copy(h, untilEnd{ctx, file})
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// Unchanged fails with [ErrNotLocked] if the file of a locked set was written, exchanged
// or moved since it was hashed. Call it after libtorch has loaded the file, and before
// the model is used. It compares the file's inode number, size, and times of writing and
// of change; no program can set the last. It returns nil for files of other sets.
func (f File) Unchanged() error {
	if !f.locked {
		return nil
	}
	now, err := os.Stat(f.Path)
	if err != nil {
		return fmt.Errorf("%s: %w: it went away since it was hashed: %w", f.Path, ErrNotLocked, err)
	}
	if !same(now, f.seen) {
		return fmt.Errorf("%s: %w: it was changed or exchanged since it was hashed", f.Path, ErrNotLocked)
	}
	return nil
}

// Recheck checks the file again, before it is loaded, if it was written or exchanged since
// [Set.Resolve] checked it. It fails with the errors of [Check], with [ErrMismatch] if
// another archive is in its place, and for a locked set as Unchanged does.
func (f File) Recheck(ctx context.Context) error {
	if f.locked || f.seen == nil {
		return f.Unchanged()
	}
	if now, err := os.Stat(f.Path); err == nil && same(now, f.seen) {
		return nil
	}
	return f.check(ctx)
}

// check reads the file whole. It fails with the errors of [Check], and with [ErrMismatch]
// if another archive took its place since its manifest was read.
func (f File) check(ctx context.Context) error {
	m, err := check(ctx, f.Path)
	if err == nil && m.Digest != f.Manifest.Digest {
		err = fmt.Errorf("%s: %w: another archive took its place since it was chosen; open the detector again", f.Path, ErrMismatch)
	}
	return err
}

// same reports whether a file is as it was seen.
func same(now, seen fs.FileInfo) bool {
	return os.SameFile(now, seen) && now.Size() == seen.Size() && now.ModTime().Equal(seen.ModTime()) && changed(now) == changed(seen)
}
