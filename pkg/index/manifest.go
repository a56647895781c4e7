package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/internal/files"
)

// format is the version of the files that this package writes and reads.
const format = 1

// manifestLimit bounds the bytes of a shard's JSON.
const manifestLimit = 256 << 20

// manifest is a shard's JSON.
type manifest struct {
	Format     int         `json:"format"`
	Made       made        `json:"made"`
	Regions    int         `json:"regions"`  // rows of the two other files
	Pictures   int         `json:"pictures"` // with regions
	Embeddings sum         `json:"npy"`
	Rows       sum         `json:"parquet"`
	Empty      []empty     `json:"empty,omitempty"` // pictures without regions
	Tombstones []tombstone `json:"tombstones,omitempty"`
	// Checksum is the SHA-256 of this JSON with an empty checksum.
	Checksum string `json:"checksum"`
}

// made says how embeddings were made. Those of equal ones can be compared.
type made struct {
	RPN   string `json:"rpn"` // digests of the archives
	Image string `json:"image"`
	Text  string `json:"text"`
	Crops []crop `json:"crops"`
	Width int    `json:"width"` // D
	// AsStored is Options.AsStored. Older indexes don't say it.
	AsStored bool `json:"as_stored,omitempty"`
}

type crop struct {
	Mode    string  `json:"mode"`
	Context float64 `json:"context"`
}

func (c crop) String() string { return fmt.Sprintf("%s:%v", c.Mode, c.Context) }

type sum struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

type empty struct {
	Picture
	Width  int `json:"width"`
	Height int `json:"height"`
}

// tombstone says that a picture of an earlier shard isn't there any more: because it
// changed, was removed, or was copied by Compact. First and Regions are its rows.
type tombstone struct {
	Shard   int    `json:"shard"`
	Picture string `json:"picture"`
	First   int    `json:"first"`
	Regions int    `json:"regions"`
}

func madeBy(info detect.Info) made {
	m := made{
		RPN: info.RPN.Manifest.Digest, Image: info.Image.Manifest.Digest, Text: info.Text.Manifest.Digest,
		Width: info.Image.Manifest.EmbeddingWidth,
	}
	for _, c := range info.Crops {
		m.Crops = append(m.Crops, crop{string(c.Mode), c.Context})
	}
	return m
}

// check fails with ErrModels if now differs from m, the index's, and says in what.
func (m made) check(now made) error {
	for _, part := range []struct{ name, index, now string }{
		{"proposal network", m.RPN, now.RPN}, {"image tower", m.Image, now.Image}, {"text tower", m.Text, now.Text},
	} {
		if part.index != part.now {
			return fmt.Errorf("%w: its %s has the digest %.12s, and this one %.12s; their embeddings can't be compared, so take the same models or another directory",
				ErrModels, part.name, part.index, part.now)
		}
	}
	if !slices.Equal(m.Crops, now.Crops) || m.Width != now.Width {
		return fmt.Errorf("%w: its crops (mode:context) are %v of width %d, and these are %v of %d; take the same crops or another directory",
			ErrModels, m.Crops, m.Width, now.Crops, now.Width)
	}
	if m.AsStored != now.AsStored {
		return fmt.Errorf("%w: its pictures are %s, and these are %s; take the same or another directory", ErrModels, m.turned(), now.turned())
	}
	return nil
}

// checkDetector is check of a detector, which doesn't tell whether pictures are as stored.
func (m made) checkDetector(info detect.Info) error {
	now := madeBy(info)
	now.AsStored = m.AsStored
	return m.check(now)
}

func (m made) turned() string {
	if m.AsStored {
		return "as stored"
	}
	return "upright"
}

// encode returns the JSON with its checksum.
func (m manifest) encode() ([]byte, error) {
	m.Checksum = ""
	text, err := marshal(m)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(text)
	m.Checksum = hex.EncodeToString(hash[:])
	return marshal(m)
}

func marshal(m manifest) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(m)
	return b.Bytes(), err
}

// decodeManifest reads a shard's JSON. Every changed byte is ErrDamaged, since the text has
// to be what encode makes of it.
func decodeManifest(data []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.Format != format && m.Format > 0 {
		return m, fmt.Errorf("%w: it has the format %d, and this version reads %d", ErrOption, m.Format, format)
	}
	again, err := m.encode()
	if err != nil || !bytes.Equal(again, data) {
		return m, fmt.Errorf("%w: its checksum is not that of its text", ErrDamaged)
	}
	if m.Regions < 0 || m.Made.Width < 1 || m.Regions > maxShardRegions {
		return m, fmt.Errorf("%w: %d regions of width %d", ErrDamaged, m.Regions, m.Made.Width)
	}
	return m, nil
}

// shard is a shard of a directory.
type shard struct {
	manifest
	dir    string
	number int
}

func (s shard) path(extension string) string { return shardPath(s.dir, s.number, extension) }

func shardPath(dir string, number int, extension string) string {
	return filepath.Join(dir, fmt.Sprintf("shard-%05d.%s", number, extension))
}

var shardName = regexp.MustCompile(`^shard-(\d{5,9})\.(json|npy|parquet)$`)

// numberOf returns the number of a shard's file and its extension.
func numberOf(name string) (number int, extension string, ok bool) {
	found := shardName.FindStringSubmatch(name)
	if found == nil {
		return 0, "", false
	}
	number, err := strconv.Atoi(found[1])
	return number, found[2], err == nil && name == filepath.Base(shardPath("", number, found[2]))
}

// numbers returns the numbers of the shards of a directory that have a JSON, in order.
func numbers(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, entry := range entries {
		if number, extension, ok := numberOf(entry.Name()); ok && extension == "json" {
			all = append(all, number)
		}
	}
	slices.Sort(all)
	return all, nil
}

// readShard reads a shard's JSON, and compares the sizes of its files.
func readShard(dir string, number int) (shard, error) {
	s := shard{dir: dir, number: number}
	file, err := os.Open(s.path("json"))
	if err != nil {
		return s, err
	}
	defer file.Close()
	data, err := files.ReadAll(file, manifestLimit)
	if err != nil {
		return s, fmt.Errorf("%s: %w", file.Name(), err)
	}
	if s.manifest, err = decodeManifest(data); err != nil {
		return s, fmt.Errorf("%s: %w", file.Name(), err)
	}
	for extension, want := range map[string]int64{"npy": s.Embeddings.Bytes, "parquet": s.Rows.Bytes} {
		info, err := os.Stat(s.path(extension))
		if errors.Is(err, fs.ErrNotExist) {
			return s, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if err != nil {
			return s, err
		}
		if info.Size() != want {
			return s, fmt.Errorf("%s: %w: it has %d bytes, and %d were written", s.path(extension), ErrDamaged, info.Size(), want)
		}
	}
	return s, nil
}

// readShards reads all shards of a directory. It fails with ErrModels if they aren't of
// the same models.
func readShards(dir string) ([]shard, error) {
	all, err := numbers(dir)
	if err != nil {
		return nil, err
	}
	var shards []shard
	for _, number := range all {
		s, err := readShard(dir, number)
		if err != nil {
			if _, there := os.Lstat(s.path("json")); errors.Is(there, fs.ErrNotExist) {
				return readShards(dir) // Compact removes it, and what took its place is there
			}
			return nil, err
		}
		if len(shards) > 0 {
			if err := shards[0].Made.check(s.Made); err != nil {
				return nil, fmt.Errorf("%s: %w", s.path("json"), err)
			}
		}
		shards = append(shards, s)
	}
	return shards, nil
}

// deadOf returns the tombstones of all shards.
func deadOf(shards []shard) map[tombstone]bool {
	dead := make(map[tombstone]bool)
	for _, s := range shards {
		for _, t := range s.Tombstones {
			dead[t] = true
		}
	}
	return dead
}
