package index

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"

	"github.com/clipdet/clipdet/pkg/internal/files"
)

// Picture is a picture's file, as an index remembers it.
type Picture struct {
	Path     string `json:"picture"`  // as given, with clean slashes
	Bytes    int64  `json:"bytes"`    // of the file
	Modified int64  `json:"modified"` // of the file: nanoseconds since 1970, UTC
	SHA256   string `json:"sha256"`   // of the file, 64 lower-case hex digits; "" if it wasn't read
}

// Look returns the Picture of a file without reading it, so without its SHA256.
func Look(path string) (Picture, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Picture{}, err
	}
	return Picture{Path: filepath.Clean(path), Bytes: info.Size(), Modified: info.ModTime().UnixNano()}, nil
}

// Read returns p with the SHA256 of its file.
func (p Picture) Read() (Picture, error) {
	file, err := files.Open(p.Path)
	if err != nil {
		return p, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return p, err
	}
	p.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return p, nil
}

// same reports whether p, as it is now, is the file that was indexed as old: by its
// content if that was read, or else by size and time.
func (p Picture) same(old Picture) bool {
	if p.SHA256 != "" {
		return p.SHA256 == old.SHA256
	}
	return p.Bytes == old.Bytes && p.Modified == old.Modified
}

// PartOf returns which of parts, 1 or more, a picture belongs to, from 1, for Options.Part.
// It depends on the path alone, so that it stays the same when pictures are added to a
// collection.
func PartOf(path string, parts int) int {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(filepath.Clean(path))) // never fails
	return 1 + int(hash.Sum64()%uint64(parts))      //nolint:gosec // both are positive
}
