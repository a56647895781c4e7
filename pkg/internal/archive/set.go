package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

var (
	// ErrMissing is returned if a set lacks a kind, or lacks it in the wanted type of
	// weights.
	ErrMissing = errors.New("models missing")
	// ErrMismatch is returned if archives of a set don't fit together: an image and a
	// text tower of different CLIPs, or two archives of one kind and type of weights. It
	// is also returned if a file is of another kind than it is used for, or if another
	// archive took its place before it was loaded.
	ErrMismatch = errors.New("models do not fit together")
)

// Set says where the archives of a detector come from. [Dir], [Locked], [Embedded] and
// builtin.Models() make one, without touching a file. Methods of the zero Set fail.
type Set struct {
	dir    string // of Dir and Locked
	locked bool   // of Locked
	lock   string // of Locked: the lock file
	name   string // of Embedded
	fsys   fs.FS
}

// Dir returns the set of the *.pt files in the directory at path. Their manifests matter,
// and not their names. Files without a clipdet manifest are ignored, so the directory may
// also hold checkpoints.
func Dir(path string) Set { return Set{dir: path} }

// Embedded returns the set of the *.pt files at the root of fsys, usually an embed.FS.
// libtorch loads only from files, so [Set.Resolve] copies them once to a cache directory,
// whose name is made of name and the content; see [CacheDir].
func Embedded(fsys fs.FS, name string) Set { return Set{fsys: fsys, name: name} }

// String describes the set for messages.
func (s Set) String() string {
	switch {
	case s.fsys != nil:
		return fmt.Sprintf("embedded models %q", s.name)
	case s.locked:
		return fmt.Sprintf("models in %s, locked by %s", s.dir, s.lock)
	case s.dir != "":
		return fmt.Sprintf("models in %s", s.dir)
	}
	return "no models"
}

// File is one archive that can be loaded.
type File struct {
	Path     string
	Manifest Manifest

	seen   fs.FileInfo // of the file that Resolve checked, or that was hashed; nil if neither was
	locked bool        // of a locked set
}

// Want fails with [ErrMismatch] if the file is of none of the kinds.
func (f File) Want(kinds ...Kind) error {
	if slices.Contains(kinds, f.Manifest.Kind) {
		return nil
	}
	return fmt.Errorf("%s: %w: its manifest says kind %q, and %v is wanted here", f.Path, ErrMismatch, f.Manifest.Kind, kinds)
}

// Explain adds to err, libtorch's error of loading or calling the file, that the file was
// exported by another torch than the libtorch of the version running. It returns err
// unchanged if that isn't so. The result wraps err.
func (f File) Explain(err error, running string) error {
	if other := f.Manifest.OtherTorch(running); err != nil && other != "" {
		return fmt.Errorf("%w (%s, which may be why: export the model again with ./setup-libtorch.sh python torchscript/export.py)", err, other)
	}
	return err
}

// Files are the three archives of a detector.
type Files struct {
	RPN, Image, Text File
}

// Entry is one *.pt file of a set. Err says why it can't be used; Manifest is then zero,
// except in a locked set.
type Entry struct {
	Name     string // of the file, without its directory
	Size     int64
	Manifest Manifest
	Err      error

	directory directory
	locked    LockedFile // of a locked set: its entry in the lock
}

// List describes every *.pt file of the set, sorted by name, and of a locked set also the
// missing ones. It fails only if the set itself, or its lock file, can't be read.
func (s Set) List() ([]Entry, error) {
	fsys := s.fsys
	switch {
	case fsys != nil:
	case s.locked:
		return s.listLocked()
	case s.dir != "":
		fsys = os.DirFS(s.dir)
	default:
		return nil, fmt.Errorf("%w: no set was given: use model.Dir(...) or builtin.Models()", ErrMissing)
	}
	entries, err := list(fsys)
	if err != nil {
		return nil, fmt.Errorf("%w: %v: %w", ErrMissing, s, err)
	}
	return entries, nil
}

func list(fsys fs.FS) ([]Entry, error) {
	found, err := fs.ReadDir(fsys, ".")
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) { // its path is "."; the set's own is in the caller's error
			err = path.Err
		}
		return nil, err
	}
	var entries []Entry
	for _, f := range found {
		if strings.HasSuffix(f.Name(), ".pt") && !f.IsDir() {
			entries = append(entries, inspectEntry(fsys, f.Name()))
		}
	}
	return entries, nil
}

func inspectEntry(fsys fs.FS, name string) (entry Entry) {
	entry.Name = name
	info, err := fs.Stat(fsys, name)
	// Opening a pipe would wait for its writer.
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: not a regular file", ErrNotArchive)
	}
	if err != nil {
		entry.Err = err
		return entry
	}
	file, r, size, err := openEntry(fsys, name)
	if err != nil {
		entry.Err = err
		return entry
	}
	defer file.Close()
	entry.Size = size
	if entry.directory, err = openArchive(r, size); err != nil {
		entry.Err = err
		return entry
	}
	entry.Manifest, entry.Err = entry.directory.manifest()
	return entry
}

// openEntry opens a file. It is read in place if it is an io.ReaderAt, as files of os and
// embed are.
func openEntry(fsys fs.FS, name string) (io.Closer, io.ReaderAt, int64, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, nil, 0, err
	}
	if r, ok := file.(io.ReaderAt); ok {
		if info, err := file.Stat(); err == nil {
			return file, r, info.Size(), nil
		}
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, nil, 0, errors.Join(err, file.Close())
	}
	return file, bytes.NewReader(data), int64(len(data)), nil
}

// Resolve picks one archive of each kind and returns their paths. If dtype is [Float32],
// [BFloat16] or [Float16], every kind must have that type. If it is [Auto] or "", each
// kind has the first type that it exists in, of prefer and then float32, bfloat16 and
// float16. If it is [Int8], the image tower must have that type, and the others have the
// first of int8, float32, bfloat16 and float16.
//
// It fails with [ErrMissing] or [ErrMismatch], for a locked set also with [ErrLock] or
// [ErrNotLocked], and with the errors of [Inspect] for a broken file, which is never
// passed over for another. It reads the picked files whole, as [Check] does, because
// libtorch compares no checksums and may end the process on a file that changed. An
// embedded set is also copied to the cache if it isn't there yet.
func (s Set) Resolve(ctx context.Context, dtype string, prefer ...string) (Files, error) {
	if dtype == "" {
		dtype = Auto
	}
	if known := dtypesOf(CLIPImage); dtype != Auto && !slices.Contains(known, dtype) {
		return Files{}, fmt.Errorf("%w: dtype %q: want %s or one of %v", ErrMissing, dtype, Auto, known)
	}
	entries, err := s.List()
	if err != nil {
		return Files{}, err
	}
	for _, entry := range entries {
		if entry.Err != nil && !errors.Is(entry.Err, ErrNoManifest) {
			return Files{}, fmt.Errorf("%v: %s: %w", s, entry.Name, entry.Err)
		}
	}
	wanted := []string{dtype}
	if dtype == Auto {
		wanted = slices.Concat(prefer, dtypes)
	}
	var picked [3]Entry
	for i, kind := range kinds() {
		wanted := wanted
		if dtype == Int8 && kind != CLIPImage {
			wanted = slices.Concat(wanted, dtypes)
		}
		if picked[i], err = s.pick(entries, kind, wanted); err != nil {
			return Files{}, err
		}
	}
	if err := fit(picked[1], picked[2]); err != nil {
		return Files{}, fmt.Errorf("%v: %w", s, err)
	}
	var files [3]File
	for i, entry := range picked {
		if files[i], err = s.place(ctx, entry, entries); err != nil {
			return Files{}, err
		}
		if !s.locked {
			// Before it is read, so that no change is missed.
			if files[i].seen, err = os.Stat(files[i].Path); err != nil {
				return Files{}, fmt.Errorf("%v: %w", s, err)
			}
		}
		if s.fsys != nil {
			continue // compared with what is embedded
		}
		if err := files[i].check(ctx); err != nil {
			return Files{}, fmt.Errorf("%v: %w", s, err)
		}
	}
	return Files{RPN: files[0], Image: files[1], Text: files[2]}, nil
}

// File returns the archive of a name of [Set.List]. It fails with the errors of Resolve.
// It doesn't read an archive of [Dir] whole: call [Check] before it is loaded, as
// detect.Verify does.
func (s Set) File(ctx context.Context, name string) (File, error) {
	entries, err := s.List()
	if err != nil {
		return File{}, err
	}
	for _, entry := range entries {
		if entry.Name != name {
			continue
		}
		if entry.Err != nil {
			return File{}, fmt.Errorf("%v: %s: %w", s, name, entry.Err)
		}
		return s.place(ctx, entry, entries)
	}
	return File{}, fmt.Errorf("%w: %v: no file %s", ErrMissing, s, name)
}

// place returns the File of an entry. It copies an embedded one to the cache.
func (s Set) place(ctx context.Context, entry Entry, all []Entry) (File, error) {
	switch {
	case s.locked:
		return s.placeLocked(ctx, entry)
	case s.fsys == nil:
		return File{Path: filepath.Join(s.dir, entry.Name), Manifest: entry.Manifest}, nil
	}
	path, err := spill(ctx, s.fsys, entry.Name, s.name+"-"+fingerprint(all))
	if err != nil {
		return File{}, fmt.Errorf("%v: %w", s, err)
	}
	return File{Path: path, Manifest: entry.Manifest}, nil
}

// pick returns the archive of a kind, in the first of the wanted types that it exists in.
func (s Set) pick(entries []Entry, kind Kind, wanted []string) (Entry, error) {
	byDType := map[string]Entry{}
	for _, entry := range entries {
		m := entry.Manifest
		if entry.Err != nil || m.Kind != kind {
			continue
		}
		if other, taken := byDType[m.DType]; taken {
			return Entry{}, fmt.Errorf("%w: %v: %s and %s are both %s in %s; keep one", ErrMismatch, s, other.Name, entry.Name, kind, m.DType)
		}
		byDType[m.DType] = entry
	}
	for _, d := range wanted {
		if entry, ok := byDType[d]; ok {
			return entry, nil
		}
	}
	want := string(kind)
	if len(wanted) == 1 {
		want += " in " + wanted[0]
	} else if entry, ok := byDType[Int8]; ok {
		return Entry{}, fmt.Errorf("%w: %v: no %s but %s in int8, which has to be asked for; %s", ErrMissing, s, want, entry.Name, describe(entries))
	}
	return Entry{}, fmt.Errorf("%w: %v: no %s; %s", ErrMissing, s, want, describe(entries))
}

// describe lists the archives that exist, for the message about a missing one.
func describe(entries []Entry) string {
	var there, foreign []string
	for _, entry := range entries {
		if entry.Err != nil {
			foreign = append(foreign, entry.Name)
			continue
		}
		there = append(there, fmt.Sprintf("%s (%s in %s)", entry.Name, entry.Manifest.Kind, entry.Manifest.DType))
	}
	said := "there is no *.pt with a clipdet manifest"
	if len(there) > 0 {
		said = "there are " + strings.Join(there, ", ")
	}
	if len(foreign) > 0 {
		said += "; without a manifest: " + strings.Join(foreign, ", ")
	}
	return said + "; make it with the exports in torchscript/"
}

// fit checks that the two towers are of one CLIP: embeddings of different CLIPs can't be
// compared.
func fit(image, text Entry) error {
	i, t := image.Manifest, text.Manifest
	var differs string
	switch {
	case i.CLIPID != t.CLIPID:
		differs = fmt.Sprintf("clip_id is %q and %q", i.CLIPID, t.CLIPID)
	case i.EmbeddingWidth != t.EmbeddingWidth:
		differs = fmt.Sprintf("embedding_width is %d and %d", i.EmbeddingWidth, t.EmbeddingWidth)
	case i.LogitScale != t.LogitScale:
		differs = fmt.Sprintf("logit_scale is %v and %v", i.LogitScale, t.LogitScale)
	default:
		return nil
	}
	return fmt.Errorf("%w: %s and %s are of different CLIPs: %s; take both from one export", ErrMismatch, image.Name, text.Name, differs)
}

// fingerprint returns a hash of a set's content. It hashes the checksums that the
// archives have of their records, so that the weights need not be read.
func fingerprint(entries []Entry) string {
	h := sha256.New()
	for _, entry := range entries {
		fmt.Fprintf(h, "%s %d\n", entry.Name, entry.Size)
		for _, name := range slices.Sorted(maps.Keys(entry.directory.records)) {
			record := entry.directory.records[name]
			fmt.Fprintf(h, "%s %d %08x\n", name, record.UncompressedSize64, record.CRC32)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
