// Package model says where a detector's models come from, and describes them.
//
// A detector needs three TorchScript archives: a region proposal network (kind rpn),
// CLIP's image tower (clip-image) and its text tower (clip-text). Each is a .pt file made
// by the exports in torchscript/, a zip that carries its own description in
// <top>/extra/manifest.json; torchscript/CONTRACT.md states the format. This package
// reads the description without libtorch, so that a broken, edited or foreign file is
// refused before native code sees it: the manifest's digest covers the zip's directory,
// and a detector reads the rest before it loads it.
//
// An archive is code: torchscript/CONTRACT.md says what a stranger's could do. The digest
// tells a sound archive from a broken one, and not yours from another's, since whoever
// edits an archive can make the digest anew. [Locked] takes only archives whose content a
// lock file names.
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
	// ErrMissing is returned if a set lacks a kind, or lacks it in the type of weights that
	// was asked for.
	ErrMissing = archive.ErrMissing
	// ErrMismatch is returned if archives of a set don't fit together: an image and a text
	// tower of different CLIPs, or two archives of one kind and type of weights.
	ErrMismatch = archive.ErrMismatch
	// ErrNotArchive is returned for a file that is not a zip that torch.jit.save could have
	// written: another format, truncated, empty, another zip or a directory.
	ErrNotArchive = archive.ErrNotArchive
	// ErrNoManifest is returned for an archive without a clipdet manifest: a checkpoint of
	// torch.save, or a module that another program exported.
	ErrNoManifest = archive.ErrNoManifest
	// ErrManifest is returned for a manifest that is there but can't be used.
	ErrManifest = archive.ErrManifest
	// ErrDamaged is returned for an archive that is not as its export wrote it: a record that
	// was exchanged or edited, an edited manifest, or bytes that changed on the way.
	ErrDamaged = archive.ErrDamaged
	// ErrAnswer is returned by detect.Verify if an archive's answer is not its known answer.
	ErrAnswer = archive.ErrAnswer
	// ErrLock is returned for a lock file that is there but can't be used.
	ErrLock = archive.ErrLock
	// ErrNotLocked is returned if the files of a directory aren't those of its lock file:
	// another file or content, a file too many or too few.
	ErrNotLocked = archive.ErrNotLocked
)

// Set is the source of a detector's archives: [Dir], [Locked], [Embedded] or
// builtin.Models(). The zero Set is refused with ErrMissing. Making a Set touches no file.
type Set struct{ set archive.Set }

// Dir returns the set of the *.pt files in the directory at path. Their names don't
// matter; their manifests do. Files without a clipdet manifest are left alone, so a
// directory may hold checkpoints too.
func Dir(path string) Set { return Set{archive.Dir(path)} }

// Embedded returns the set of the *.pt files at the root of fsys, usually an embed.FS.
// libtorch loads from files alone, so a detector copies them once to a directory of
// [CacheDir] that is named after name and the content.
func Embedded(fsys fs.FS, name string) Set { return Set{archive.Embedded(fsys, name)} }

// Locked returns the set of the archives that the lock file at path names, in the
// directory dir, or in the lock file's own if dir is "". It takes those alone: a file
// that differs by a byte, that is missing, or that has a manifest and no place in the
// lock is refused with ErrNotLocked, and so is a link that leads out of the directory. An
// empty path is ErrLock.
//
// A detector hashes the archives that it uses. libtorch then opens them once more, by
// their paths; a file that was touched meanwhile is ErrNotLocked.
func Locked(path, dir string) Set { return Set{archive.Locked(path, dir)} }

// CacheDir returns the directory for what is kept between runs: $CLIPDET_HOME/models, or
// clipdet/models in os.UserCacheDir.
func CacheDir() (string, error) { return archive.CacheDir() }

// LockDir reads all of the archives of a directory and returns a lock file, JSON with the
// name, kind, size and sha256 of each. It takes what [Dir] takes, and fails as a detector
// would, since models that make no detector are not worth a lock.
func LockDir(ctx context.Context, dir string) ([]byte, error) {
	lock, err := archive.LockDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	return lock.JSON()
}

// String describes the set for messages.
func (s Set) String() string { return s.set.String() }

// Check fails if the set's archives make no detector: with ErrMissing, ErrMismatch, the
// errors of [Inspect], and for a locked set ErrLock or ErrNotLocked. It reads the three
// archives whole.
func (s Set) Check(ctx context.Context) error {
	_, err := s.set.Resolve(ctx, Auto)
	return err
}

// Archives returns the set as the detector uses it.
func (s Set) Archives() archive.Set { return s.set }

// Entry is one *.pt file of a set.
type Entry struct {
	Name     string // of the file, without its directory
	Size     int64  // bytes
	Manifest Manifest
	Err      error // why the file can't be used; Manifest is zero then
}

// List describes every *.pt file of the set, sorted by name, and those of a lock that are
// missing. It fails only if the set itself, or its lock file, can't be read.
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
