package archive

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// ErrDamaged is returned if an archive isn't as it was exported: a record was exchanged
// or edited, the manifest was edited, or bytes changed in a copy.
var ErrDamaged = errors.New("archive is not as it was exported")

// digest returns the digest that torchscript/CONTRACT.md defines. It covers the name,
// size and checksum of every record, which are in the zip's directory, and the manifest
// with zeros in place of the digest.
func (d directory) digest(manifest []byte, claimed string) string {
	names := make([]string, 0, len(d.records))
	for name := range d.records {
		if name != manifestName && name != ".data/serialization_id" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		fmt.Fprintf(h, "%s %d %08x\n", name, d.records[name].UncompressedSize64, d.records[name].CRC32)
	}
	h.Write(bytes.ReplaceAll(manifest, []byte(claimed), bytes.Repeat([]byte("0"), len(claimed))))
	return hex.EncodeToString(h.Sum(nil))
}

// Check reads the whole archive at path and compares every byte with the checksums that
// its digest covers. It takes as long as reading the file, some 0.3 s a GB from the page
// cache; libtorch takes longer to load it. Its errors start with path, and wrap
// [ErrDamaged] or the errors of [Inspect].
func Check(ctx context.Context, path string) error {
	_, err := check(ctx, path)
	return err
}

// check is Check, and returns the manifest.
func check(ctx context.Context, path string) (m Manifest, err error) {
	file, size, err := openRegular(path)
	if err != nil {
		return m, err
	}
	defer file.Close()
	found, err := openArchive(file, size)
	if err == nil {
		m, err = found.manifest()
	}
	if err == nil {
		err = found.check(ctx)
	}
	if err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func (d directory) check(ctx context.Context) error {
	buffer := make([]byte, 1<<20)
	for _, name := range slices.Sorted(maps.Keys(d.records)) {
		record := d.records[name]
		if err := readAll(ctx, record, buffer); ctx.Err() != nil {
			return context.Cause(ctx)
		} else if err != nil {
			return fmt.Errorf("%w: record %q: %w; copy or export the file again", ErrDamaged, record.Name, err)
		}
	}
	return nil
}

// readAll reads a record to its end, where archive/zip compares its checksum.
func readAll(ctx context.Context, record *zip.File, buffer []byte) error {
	r, err := record.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyBuffer(io.Discard, untilEnd{ctx, r}, buffer)
	return err
}
