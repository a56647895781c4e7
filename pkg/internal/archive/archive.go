package archive

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/clipdet/clipdet/pkg/internal/files"
)

const (
	// manifestLimit is the largest number of bytes of a manifest. Real ones have about 2
	// KB.
	manifestLimit = 1 << 20
	// recordLimit is the largest number of records of an archive. The largest CLIPs have
	// some 2,000.
	recordLimit = 1 << 16
	// unpackedLimit is the largest number of bytes that the compressed records of an
	// archive unpack to. torch only compresses the code, which has about 1 MB.
	unpackedLimit = 64 << 20
)

var (
	// ErrNotArchive is returned if a file isn't a zip that torch.jit.save could have
	// written: another format, truncated, empty, another zip or a directory.
	ErrNotArchive = errors.New("not a TorchScript archive")
	// ErrNoManifest is returned if an archive has no clipdet manifest: a checkpoint of
	// torch.save, or a module that another program exported.
	ErrNoManifest = errors.New("no clipdet manifest in the archive")
)

// Inspect reads and validates the manifest of the archive at path, and compares its
// digest. It reads only the zip's directory and the manifest, regardless of the size of the
// weights; [Check] reads the rest. Its errors start with path, and wrap [ErrNotArchive],
// [ErrNoManifest], [ErrManifest], [ErrDamaged] or an error of the file system.
func Inspect(path string) (Manifest, error) {
	file, size, err := openRegular(path)
	if err != nil {
		return Manifest{}, err
	}
	defer file.Close()
	found, err := openArchive(file, size)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", path, err)
	}
	m, err := found.manifest()
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// openRegular opens a file and returns its size. It refuses directories, devices and
// pipes.
func openRegular(path string) (*os.File, int64, error) {
	file, err := files.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w: not a regular file", path, ErrNotArchive)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

const manifestName = "extra/manifest.json"

// directory is the directory of a zip that looks like torch's.
type directory struct {
	records map[string]*zip.File // by their names without the top folder
}

// openArchive reads the directory of a zip and checks that it looks like torch's: one
// folder that has everything, each name once, with a data.pkl in it.
func openArchive(r io.ReaderAt, size int64) (directory, error) {
	files, err := zip.NewReader(r, size)
	if err != nil {
		return directory{}, fmt.Errorf("%w (%d bytes, %w); copy or export the file again", ErrNotArchive, size, err)
	}
	if len(files.File) > recordLimit {
		return directory{}, fmt.Errorf("%w: a zip of %d files, more than %d", ErrNotArchive, len(files.File), recordLimit)
	}
	d := directory{records: make(map[string]*zip.File, len(files.File))}
	top := ""
	var stored, unpacked uint64
	for i, f := range files.File {
		folder, name, _ := strings.Cut(f.Name, "/")
		if i == 0 {
			top = folder
		}
		if folder != top || name == "" || d.records[name] != nil {
			return directory{}, fmt.Errorf("%w: a zip with %q outside %q, or twice; export the model again with the exports in torchscript/", ErrNotArchive, f.Name, top+"/")
		}
		d.records[name] = f
		claimed := f.UncompressedSize64
		if f.Method == zip.Store {
			stored += min(claimed, uint64(size)+1)
		} else {
			unpacked += min(claimed, unpackedLimit+1)
		}
		// Records that share bytes could take very long to read.
		if stored > uint64(size) || unpacked > unpackedLimit || f.Method == zip.Store && claimed != f.CompressedSize64 {
			return directory{}, fmt.Errorf("%w: the records up to %q claim %d bytes, and %d more once unpacked (up to %d are taken), in a file of %d; export the model again",
				ErrNotArchive, f.Name, stored, unpacked, unpackedLimit, size)
		}
	}
	if d.records["data.pkl"] == nil {
		return directory{}, fmt.Errorf("%w: a zip without data.pkl; export the model with the exports in torchscript/", ErrNotArchive)
	}
	return d, nil
}

// manifest reads and validates the manifest, and compares its digest with the archive's.
func (d directory) manifest() (Manifest, error) {
	file := d.records[manifestName]
	switch {
	case file == nil:
		return Manifest{}, fmt.Errorf("%w: make it with the exports in torchscript/ (torch.save and plain torch.jit.save write none)", ErrNoManifest)
	case file.UncompressedSize64 > manifestLimit:
		return Manifest{}, fmt.Errorf("%w: it claims %d bytes, more than %d; export the model again", ErrManifest, file.UncompressedSize64, manifestLimit)
	}
	r, err := file.Open()
	if err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrNotArchive, err)
	}
	defer r.Close()
	data, err := files.ReadAll(r, manifestLimit)
	switch {
	case errors.Is(err, files.ErrTooLarge):
		return Manifest{}, fmt.Errorf("%w: more than %d bytes; export the model again", ErrManifest, manifestLimit)
	case err != nil: // includes a wrong checksum
		return Manifest{}, fmt.Errorf("%w: manifest.json: %w; copy or export the file again", ErrDamaged, err)
	}
	m, err := parseManifest(data)
	if err != nil {
		return Manifest{}, err
	}
	if d.digest(data, m.Digest) != m.Digest {
		return Manifest{}, fmt.Errorf("%w: the digest in its manifest is another's: something in it was edited, or comes from another archive; copy or export the file again", ErrDamaged)
	}
	return m, nil
}
