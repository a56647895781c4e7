package index

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/internal/files"
)

// DefaultShardRegions is what Options.ShardRegions stands for if it is 0.
const DefaultShardRegions = 16_384

// maxShardRegions bounds the rows of a shard.
const maxShardRegions = 1 << 24

// Options say how an index is written. The zero Options are the defaults.
type Options struct {
	// ShardRegions is the number of regions from which a shard is complete. More regions
	// in a shard make fewer files, take more memory, and lose more if the process is
	// killed. 0 is DefaultShardRegions, and 16,777,216 is the largest.
	ShardRegions int
	// Part and Parts write the index in parts, on several machines: each into a directory
	// of its own, with other numbers of shards, so that all files of the parts can be
	// moved into one directory. Part is 1 to Parts. 0 of both is a whole index. Which
	// pictures are of a part is the caller's choice, for instance by PartOf; no picture may
	// be of two.
	Part, Parts int
	// AsStored says that the regions are of pictures as they are stored, which weren't
	// turned upright (pixels.Limits.AsStored). It is kept, and all pictures of an index
	// have the same. Compact doesn't need it.
	AsStored bool
}

func (o Options) withDefaults() (Options, error) {
	if o.ShardRegions == 0 {
		o.ShardRegions = DefaultShardRegions
	}
	if o.Part == 0 && o.Parts == 0 {
		o.Part, o.Parts = 1, 1
	}
	switch {
	case o.ShardRegions < 1 || o.ShardRegions > maxShardRegions:
		return o, fmt.Errorf("index: %w: ShardRegions is %d; 1 to %d can be", ErrOption, o.ShardRegions, maxShardRegions)
	case o.Part < 1 || o.Part > o.Parts || o.Parts > 1_000_000:
		return o, fmt.Errorf("index: %w: part %d of %d", ErrOption, o.Part, o.Parts)
	}
	return o, nil
}

// Writer adds pictures to an index. It is for one goroutine. The caller closes it.
type Writer struct {
	dir     string
	made    made
	options Options
	lock    *os.File
	known   map[string]location // the pictures that are there
	next    int                 // number of the next shard
	failed  error               // of a write; nothing is written afterwards

	// The shard that is being made.
	rows       []row
	embeddings []uint16
	pictures   int
	empty      []empty
	tombstones []tombstone
}

// location is where a picture is.
type location struct {
	at   tombstone // that would remove it
	file Picture   // without its Path
}

// Create opens the index in dir for writing, and makes dir if it is missing. info is of the
// Detector whose regions will be appended, or of [detect.Resolve]. It fails with ErrModels
// if the index is of others, with ErrBusy if another Writer has dir, with ErrDamaged, and
// with ErrOption. It reads the rows of all shards, some 2 µs for each.
//
// Files of a shard that was interrupted are removed.
func Create(dir string, info detect.Info, options Options) (*Writer, error) {
	m := madeBy(info)
	m.AsStored = options.AsStored
	return create(dir, m, options)
}

func create(dir string, m made, options Options) (_ *Writer, err error) {
	if options, err = options.withDefaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	w := &Writer{dir: dir, made: m, options: options, known: make(map[string]location)}
	if w.lock, err = lock(dir); err != nil {
		return nil, err
	}
	if err := w.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("index: %w", err), w.lock.Close())
	}
	return w, nil
}

// read reads what is there, and removes the rest of an interrupted shard.
func (w *Writer) read() error {
	shards, err := readShards(w.dir)
	if err != nil {
		return err
	}
	if len(shards) > 0 {
		if err := shards[0].Made.check(w.made); err != nil {
			return fmt.Errorf("%s: %w", w.dir, err)
		}
	}
	w.next = w.options.Part
	whole, dead := make(map[int]bool), deadOf(shards)
	for _, s := range shards {
		whole[s.number] = true
		for w.next <= s.number {
			w.next += w.options.Parts
		}
		c, err := s.contents()
		if err != nil {
			return err
		}
		for _, p := range c.pictures {
			w.know(p.Picture, tombstone{s.number, p.Path, p.first, p.regions}, dead)
		}
		for _, p := range s.Empty {
			w.know(p.Picture, tombstone{Shard: s.number, Picture: p.Path}, dead)
		}
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		number, _, shard := numberOf(entry.Name())
		if shard && !whole[number] || strings.HasPrefix(entry.Name(), files.Partial) {
			if err := os.Remove(filepath.Join(w.dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// know notes where a picture is, unless it is dead. An earlier place of it, as of parts
// that overlap, gets a tombstone.
func (w *Writer) know(p Picture, at tombstone, dead map[tombstone]bool) {
	if dead[at] {
		return
	}
	if old, there := w.known[p.Path]; there {
		w.tombstones = append(w.tombstones, old.at)
	}
	path := p.Path
	p.Path = ""
	w.known[path] = location{at, p}
}

// Has reports whether the index has p as its file is: with the same content if p has a
// SHA256, or else with the same size and time.
func (w *Writer) Has(p Picture) bool {
	at, there := w.known[p.Path]
	return there && p.same(at.file)
}

// Paths returns the paths of all pictures of the index, sorted. The caller owns the slice.
func (w *Writer) Paths() []string {
	var paths []string
	for path := range w.known {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// Append adds the regions of a picture, in place of those that the index has of it. p must
// have its SHA256, and a Path in UTF-8. The regions stay the caller's. It fails with
// ErrModels if they were made with other models or crops than the index, and adds nothing.
// If the shard is complete, Append writes it. After an error of a write the Writer is of no
// use.
func (w *Writer) Append(ctx context.Context, p Picture, regions *detect.Regions) error {
	if w.failed != nil {
		return w.failed
	}
	if err := w.made.checkDetector(regions.Info()); err != nil {
		return fmt.Errorf("index: %q: %w", p.Path, err)
	}
	stored, err := regions.Stored(ctx)
	if err != nil {
		return fmt.Errorf("index: %q: %w", p.Path, err)
	}
	width, height := regions.Size()
	return w.append(p, width, height, regions.Proposals(), stored.Embeddings)
}

func (w *Writer) append(p Picture, width, height int, proposals []detect.Proposal, embeddings []uint16) error {
	switch n := len(proposals); {
	case p.SHA256 == "":
		return fmt.Errorf("index: %w: the picture %q has no SHA256, which Picture.Read gives it", ErrOption, p.Path)
	case !utf8.ValidString(p.Path):
		return fmt.Errorf("index: %w: the path %q isn't UTF-8", ErrOption, p.Path)
	case len(embeddings) != n*w.made.Width:
		return fmt.Errorf("index: %w: %q has %d values for %d regions of width %d", ErrModels, p.Path, len(embeddings), n, w.made.Width)
	case n > 0 && len(w.rows)+n > maxShardRegions:
		return fmt.Errorf("index: %w: %q makes the shard larger than %d regions", ErrOption, p.Path, maxShardRegions)
	}
	if err := w.Remove(p.Path); err != nil {
		return err
	}
	at := tombstone{Shard: w.next, Picture: p.Path, Regions: len(proposals)}
	if len(proposals) == 0 {
		w.empty = append(w.empty, empty{p, width, height})
	} else {
		at.First = len(w.rows)
		w.pictures++
	}
	w.know(p, at, nil)
	for i, r := range proposals {
		w.rows = append(w.rows, row{
			Picture: p.Path, Region: int32(i + 1), //nolint:gosec // at most 8,192
			X0: r.Box.X0, Y0: r.Box.Y0, X1: r.Box.X1, Y1: r.Box.Y1, Objectness: r.Objectness,
			Width: int32(width), Height: int32(height), Bytes: p.Bytes, Modified: p.Modified, SHA256: p.SHA256, //nolint:gosec // pixels
		})
	}
	w.embeddings = append(w.embeddings, embeddings...)
	if len(w.rows) >= w.options.ShardRegions || len(w.empty) >= w.options.ShardRegions {
		return w.flush()
	}
	return nil
}

// Remove removes a picture from the index, if it is there. Its rows stay in their shard,
// but searches don't see them once the next shard is written, at the latest by Close.
func (w *Writer) Remove(path string) error {
	if w.failed != nil {
		return w.failed
	}
	was, there := w.known[path]
	if !there {
		return nil
	}
	if was.at.Shard == w.next { // a shard has no tombstones about itself
		if err := w.flush(); err != nil {
			return err
		}
	}
	delete(w.known, path)
	w.tombstones = append(w.tombstones, was.at)
	return nil
}

// Close writes the shard that isn't complete, and lets other Writers in. It may be called
// more than once.
func (w *Writer) Close() error {
	if w.lock == nil {
		return nil
	}
	err := w.failed
	if err == nil {
		err = w.flush()
	}
	err = errors.Join(err, w.lock.Close())
	w.lock, w.failed = nil, fmt.Errorf("index: %w: the writer is closed", fs.ErrClosed)
	return err
}

// flush writes the shard and begins the next.
func (w *Writer) flush() error {
	if len(w.rows) == 0 && len(w.empty) == 0 && len(w.tombstones) == 0 {
		return nil
	}
	m := manifest{
		Format: format, Made: w.made, Regions: len(w.rows), Pictures: w.pictures, Empty: w.empty, Tombstones: w.tombstones,
	}
	var err error
	m.Embeddings, err = w.write("npy", func(to io.Writer) error {
		if _, err := to.Write(header(len(w.rows), w.made.Width)); err != nil {
			return err
		}
		_, err := to.Write(bytesOf(w.embeddings))
		return err
	})
	if err == nil {
		m.Rows, err = w.write("parquet", func(to io.Writer) error { return writeRows(to, w.rows) })
	}
	if err == nil {
		err = writeManifest(shardPath(w.dir, w.next, "json"), m)
	}
	if err != nil {
		w.failed = fmt.Errorf("index: write shard %d: %w", w.next, err)
		return w.failed
	}
	w.next += w.options.Parts
	w.rows, w.embeddings, w.pictures = w.rows[:0], w.embeddings[:0], 0
	w.empty, w.tombstones = nil, nil
	return nil
}

// write writes a file of the shard, and returns its length and checksum.
func (w *Writer) write(extension string, write func(io.Writer) error) (sum, error) {
	hash, counted := sha256.New(), counter(0)
	err := files.ReplaceDurably(shardPath(w.dir, w.next, extension), 0o666, func(to io.Writer) error {
		return write(io.MultiWriter(to, hash, &counted))
	})
	return sum{int64(counted), hex.EncodeToString(hash.Sum(nil))}, err
}

func writeManifest(path string, m manifest) error {
	text, err := m.encode()
	if err != nil {
		return err
	}
	return files.ReplaceDurably(path, 0o666, func(to io.Writer) error {
		_, err := io.Copy(to, bytes.NewReader(text))
		return err
	})
}

// counter counts the bytes that are written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// bytesOf returns the memory of values.
func bytesOf(values []uint16) []byte {
	if len(values) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 2*len(values))
}
