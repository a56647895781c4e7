// Package model describes a detector's models and their source.
//
// A detector needs three TorchScript archives: a region proposal network (kind rpn),
// CLIP's image tower (clip-image) and its text tower (clip-text). Each is a .pt file made
// by the exports in torchscript/, a zip with its own description in
// <top>/extra/manifest.json; torchscript/CONTRACT.md states the format. This package
// reads the description without libtorch, so that it refuses a broken, edited or foreign
// file before native code sees it. The manifest's digest covers the zip's directory, and
// a detector checks the rest before libtorch loads it.
//
// An archive is code: torchscript/CONTRACT.md states what a stranger's could do. The
// digest tells a sound archive from a broken one. It doesn't tell yours from another's,
// because anyone who edits an archive can also make its digest. [Locked] accepts only
// archives whose content is in a lock file.
//
// Everything here is safe for concurrent use.
package model

import (
	"context"
	"io/fs"

	"github.com/clipdet/clipdet/pkg/internal/archive"
)

// Errors of this package, for errors.Is.
var (
	// ErrMissing is returned if a set lacks a kind, or lacks it in the requested type of
	// weights.
	ErrMissing = archive.ErrMissing
	// ErrMismatch is returned if archives of a set don't fit together: an image and a
	// text tower of different CLIPs, or two archives of one kind and type of weights. A
	// detector also returns it if another archive took the place of one before it was
	// loaded.
	ErrMismatch = archive.ErrMismatch
	// ErrNotArchive is returned for a file that torch.jit.save can't have written:
	// another format, a truncated or empty file, another zip or a directory.
	ErrNotArchive = archive.ErrNotArchive
	// ErrNoManifest is returned for an archive without a clipdet manifest: a checkpoint
	// of torch.save, or a module exported by another program.
	ErrNoManifest = archive.ErrNoManifest
	// ErrManifest is returned for a manifest that can't be used.
	ErrManifest = archive.ErrManifest
	// ErrDamaged is returned for an archive that differs from what its export wrote: a
	// replaced or edited record, an edited manifest, or changed bytes.
	ErrDamaged = archive.ErrDamaged
	// ErrAnswer is returned by detect.Verify if an archive's answer is not its known
	// answer.
	ErrAnswer = archive.ErrAnswer
	// ErrLock is returned for a lock file that can't be used.
	ErrLock = archive.ErrLock
	// ErrNotLocked is returned if the files of a directory differ from its lock file:
	// another file or content, a file too many or too few.
	ErrNotLocked = archive.ErrNotLocked
)

// Set is the source of a detector's archives: [Dir], [Locked], [Embedded] or
// builtin.Models(). The zero Set is refused with ErrMissing. Making a Set reads no file.
type Set struct{ set archive.Set }

// Dir returns the set of the *.pt files in the directory at path. Their manifests
// identify them; their names don't matter. Files without a clipdet manifest are ignored,
// so the directory may also hold checkpoints.
func Dir(path string) Set { return Set{archive.Dir(path)} }

// Embedded returns the set of the *.pt files at the root of fsys, usually an embed.FS.
// libtorch loads only from files. So a detector copies them once to a directory in
// [CacheDir], named after name and the content. If it can't write there, it uses a
// directory of the user in os.TempDir.
func Embedded(fsys fs.FS, name string) Set { return Set{archive.Embedded(fsys, name)} }

// Locked returns the set of the archives in the lock file at path. They are in the
// directory dir or, if dir is "", in the lock file's directory. A file that is missing or
// differs, a file with a manifest that is not in the lock, and a link out of the
// directory are refused with ErrNotLocked. An empty path is ErrLock.
//
// A detector hashes the archives that it uses. Then libtorch opens them again by their
// paths. A file that was changed in between is ErrNotLocked.
func Locked(path, dir string) Set { return Set{archive.Locked(path, dir)} }

// CacheDir returns the directory for data that is kept between runs:
// $CLIPDET_HOME/models, or clipdet/models in os.UserCacheDir.
func CacheDir() (string, error) { return archive.CacheDir() }

// LockDir returns a lock file for the archives in a directory: JSON with the name, kind,
// size and sha256 of each. It reads them whole. It takes the files that [Dir] takes, and
// fails if they don't make a detector, as a detector would.
func LockDir(ctx context.Context, dir string) ([]byte, error) {
	lock, err := archive.LockDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	return lock.JSON()
}

// String describes the set in messages.
func (s Set) String() string { return s.set.String() }

// Check fails if the set's archives don't make a detector: with ErrMissing, ErrMismatch,
// the errors of [Inspect], and for a locked set with ErrLock or ErrNotLocked. It reads
// the three archives whole. It also makes the copies of an embedded set.
func (s Set) Check(ctx context.Context) error {
	_, err := s.set.Resolve(ctx, Auto)
	return err
}

// Archives returns the set in the detector's type.
func (s Set) Archives() archive.Set { return s.set }

// Entry is one *.pt file of a set.
type Entry struct {
	Name     string // of the file, without its directory
	Size     int64  // bytes
	Manifest Manifest
	Err      error // why the file can't be used; then Manifest is zero
}

// List describes every *.pt file of the set, sorted by name, including files that a lock
// names but that are missing. It fails only if the set or its lock file can't be read.
func (s Set) List() ([]Entry, error) {
	all, err := s.set.List()
	entries := make([]Entry, len(all))
	for i, e := range all {
		entries[i] = Entry{Name: e.Name, Size: e.Size, Err: e.Err}
		if e.Err == nil {
			entries[i].Manifest = describe(e.Manifest)
		}
	}
	return entries, err
}
