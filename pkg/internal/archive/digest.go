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

// ErrDamaged is wrapped when an archive is not as its export wrote it: a record that was exchanged or edited, an edited
// manifest, or bytes that changed on the way.
var ErrDamaged = errors.New("archive is not as it was exported")

// digest is the one that torchscript/CONTRACT.md defines: over the name, size and checksum of every record, which the
// zip's directory holds, and over the manifest, in which zeros stand for the digest itself.
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

// Check reads all of the archive at path and compares every byte with the checksums that Inspect's digest is made of.
// It takes as long as reading the file, some 0.3 s a GB from the page cache; libtorch takes longer to load it. Errors start
// with path and wrap those of [Inspect] or [ErrDamaged].
func Check(ctx context.Context, path string) error {
	file, size, err := openRegular(path)
	if err != nil {
		return err
	}
	defer file.Close()
	found, err := openArchive(file, size)
	if err == nil {
		_, err = found.manifest()
	}
	if err == nil {
		err = found.check(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
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
