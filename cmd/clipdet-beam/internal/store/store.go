// Package store reads and writes the pipeline's files, on disks and in object stores.
//
// A name is a path of the file system, or a URL:
//
//	lists/all.txt                      a path, taken as it is
//	file:///data/lists/all.txt         a path in a URL; file://./lists/all.txt is relative
//	s3://BUCKET/lists/all.txt          Amazon's S3, and stores that speak its protocol
//	gs://BUCKET/lists/all.txt          Google Cloud Storage
//	azblob://CONTAINER/lists/all.txt   Azure Blob Storage
//
// In a URL, % # and ? in a name are written %25 %23 and %3F, as [Join] does; a space may be
// written as it is. A URL's parameters are those of gocloud.dev, which say where and how
// the bucket is opened: s3://BUCKET/KEY?region=eu-west-1, or for a server of one's own
// ?endpoint=http://127.0.0.1:7070&use_path_style=true. A key has no element that is . or ..,
// which stores take in different ways.
//
// gocloud.dev stores some characters under other names, so that objects of other programs
// that have them are not found: control characters, and in Azure also " # % ? and \.
// Amazon's client says on stderr that it can't check an object that was sent in parts, but
// for ?response_checksum_validation=when_required.
//
// Credentials come from the environment, as each store's own tools have them. Listing the
// bucket has to be allowed, since stores otherwise don't tell what is missing from what is
// forbidden.
//
// No operation waits longer than two minutes without a byte that comes or goes. All
// functions but [Close] may be called at once from many goroutines.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// ErrNotFound is returned for a file or an object that is not there. A bucket that is not
// there is another error, so that a wrong name isn't taken for work to be done.
var ErrNotFound = errors.New("not found")

// Read returns the bytes of a file or an object. It fails if there are more than limit,
// and with [ErrNotFound] if there is none. Paths of folders, pipes and devices are errors.
func Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	return shared.read(ctx, name, limit)
}

// Write makes name hold what write writes, when write has returned without an error.
// Otherwise nothing is there, or what was there before. Folders of a path are made.
//
// A file is written beside its name, as .partial-…, and is on the disk when Write returns.
// A killed process may leave that file. In an S3 bucket it may leave parts of an upload, as
// may a failure while parts are under way. They are no object, but take space until a
// lifecycle rule of the bucket removes them (AbortIncompleteMultipartUpload).
//
// Only one goroutine at a time may use the writer, and none after write has returned.
func Write(ctx context.Context, name string, write func(io.Writer) error) error {
	return shared.write(ctx, name, write)
}

// Exists reports whether there is a file or an object with that name.
func Exists(ctx context.Context, name string) (bool, error) {
	return shared.exists(ctx, name)
}

// Close closes the buckets, which otherwise stay open for the next call. No other
// function may be running. Later calls open them again.
func Close() error { return shared.close() }

// shared keeps open buckets, with their credentials and connections, for all calls.
var shared = buckets{patience: 2 * time.Minute}

func (b *buckets) read(ctx context.Context, name string, limit int64) (data []byte, err error) {
	at, err := parse(name)
	switch {
	case err != nil:
		return nil, err
	case at.bucket == "":
		data, err = readFile(at.path, limit)
	default:
		data, err = b.readKey(ctx, at, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}

func (b *buckets) write(ctx context.Context, name string, write func(io.Writer) error) error {
	at, err := parse(name)
	switch {
	case err != nil:
		return err
	case at.bucket == "":
		err = writeFile(ctx, at.path, write)
	default:
		err = b.writeKey(ctx, at, write)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func (b *buckets) exists(ctx context.Context, name string) (there bool, err error) {
	at, err := parse(name)
	switch {
	case err != nil:
		return false, err
	case at.bucket == "":
		there, err = fileExists(at.path)
	default:
		there, err = b.keyExists(ctx, at)
	}
	if err != nil {
		return false, fmt.Errorf("looking for %s: %w", name, err)
	}
	return there, nil
}

// readAll returns all of r, which may have limit bytes.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, min(limit, math.MaxInt64-1)+1))
	if err == nil && int64(len(data)) > limit {
		return nil, limitError(limit)
	}
	return data, err
}

// limitError is the limit that a file goes beyond.
type limitError int64

func (limit limitError) Error() string {
	return fmt.Sprintf("it has more than the %d bytes that are allowed here", int64(limit))
}

// sticky fails for good at its first error, so that a file isn't published whose writer
// overlooked that error.
type sticky struct {
	io.Writer
	err error
}

func (s *sticky) Write(p []byte) (n int, err error) {
	if s.err != nil {
		return 0, s.err
	}
	n, s.err = s.Writer.Write(p)
	return n, s.err
}
