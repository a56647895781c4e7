package model

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// manifestLimit bounds what is read of a manifest; real ones have about 2 KB.
const manifestLimit = 1 << 20

var (
	// ErrNotArchive is wrapped when a file is not a zip that torch.jit.save could have written: another format,
	// truncated, empty or a directory.
	ErrNotArchive = errors.New("not a TorchScript archive")
	// ErrNoManifest is wrapped when an archive carries no clipdet manifest: a checkpoint of torch.save, or a module that
	// another program exported.
	ErrNoManifest = errors.New("no clipdet manifest in the archive")
)

// Inspect reads and validates the manifest of the archive at path. It reads the zip's directory and the manifest only,
// whatever the size of the weights. Errors start with path and wrap [ErrNotArchive], [ErrNoManifest], [ErrManifest] or
// what the file system said.
func Inspect(path string) (Manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return Manifest{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Manifest{}, err
	}
	if !info.Mode().IsRegular() {
		return Manifest{}, fmt.Errorf("%s: %w: not a regular file", path, ErrNotArchive)
	}
	archive, err := openArchive(file, info.Size())
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", path, err)
	}
	m, err := readManifest(archive)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// openArchive reads the directory of a zip and checks that it looks like torch's: one folder that holds everything, with
// a data.pkl in it.
func openArchive(r io.ReaderAt, size int64) (*zip.Reader, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w (%d bytes, %w); copy or export the file again", ErrNotArchive, size, err)
	}
	for _, f := range archive.File {
		if top, rest, ok := strings.Cut(f.Name, "/"); ok && top != "" && rest == "data.pkl" {
			return archive, nil
		}
	}
	return nil, fmt.Errorf("%w: a zip without data.pkl", ErrNotArchive)
}

func readManifest(archive *zip.Reader) (Manifest, error) {
	var found []*zip.File
	for _, f := range archive.File {
		if _, rest, ok := strings.Cut(f.Name, "/"); ok && rest == "extra/manifest.json" {
			found = append(found, f)
		}
	}
	switch {
	case len(found) == 0:
		return Manifest{}, fmt.Errorf("%w: make it with the exports in torchscript/ (torch.save and plain torch.jit.save write none)", ErrNoManifest)
	case len(found) > 1:
		return Manifest{}, fmt.Errorf("%w: %d of them in one archive; export the model again", ErrManifest, len(found))
	case found[0].UncompressedSize64 > manifestLimit:
		return Manifest{}, fmt.Errorf("%w: it claims %d bytes, more than %d; export the model again", ErrManifest, found[0].UncompressedSize64, manifestLimit)
	}
	r, err := found[0].Open()
	if err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrNotArchive, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, manifestLimit+1))
	if err != nil { // includes a wrong checksum
		return Manifest{}, fmt.Errorf("%w: manifest.json: %w; copy or export the file again", ErrNotArchive, err)
	}
	if len(data) > manifestLimit {
		return Manifest{}, fmt.Errorf("%w: more than %d bytes; export the model again", ErrManifest, manifestLimit)
	}
	return ParseManifest(data)
}
