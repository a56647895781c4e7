package index

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/clipdet/clipdet/pkg/detect"
)

// defaultMemory is the default of OpenOptions.Memory: 256 MiB, for some 8 million regions.
const defaultMemory = 256 << 20

// OpenOptions say how an index is read. The zero OpenOptions are the defaults.
type OpenOptions struct {
	// Memory is the number of bytes that may hold boxes and names of pictures between
	// searches; 0 is 256 MiB. What doesn't fit is read again in each search, some 2 µs
	// for each region.
	Memory int64
}

// Index is an index that is open for searches. It holds no file open, so it needs no
// Close. It is safe for concurrent use.
type Index struct {
	dir    string
	made   made
	shards []shard
	dead   map[int][]tombstone // by the shard that they are about

	mu     sync.Mutex
	memory int64             // that is left
	kept   map[int]*contents // by the shard's number
}

// Open opens the index in dir. It reads the shards' JSON files only. It fails with ErrNone,
// ErrDamaged, or ErrModels if its shards are of different models.
func Open(dir string, options OpenOptions) (*Index, error) {
	shards, err := readShards(dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("index: %w", err)
	case len(shards) == 0:
		return nil, fmt.Errorf("index: %w in %s: no shard-NNNNN.json is there", ErrNone, dir)
	case options.Memory < 0:
		return nil, fmt.Errorf("index: %w: Memory is %d", ErrOption, options.Memory)
	case options.Memory == 0:
		options.Memory = defaultMemory
	}
	ix := &Index{
		dir: dir, made: shards[0].Made, shards: shards, dead: make(map[int][]tombstone),
		memory: options.Memory, kept: make(map[int]*contents),
	}
	for t := range deadOf(shards) {
		ix.dead[t.Shard] = append(ix.dead[t.Shard], t)
	}
	return ix, nil
}

// Stats are the sizes of an index.
type Stats struct {
	Shards   int
	Regions  int64 // that searches see
	Dead     int64 // regions that Compact would remove
	Pictures int64 // that searches see, those without regions included
	Width    int   // of an embedding
	Bytes    int64 // of the shards' files, without the JSON
}

// Stats returns the sizes of ix.
func (ix *Index) Stats() Stats {
	stats := Stats{Shards: len(ix.shards), Width: ix.made.Width}
	for _, s := range ix.shards {
		stats.Regions += int64(s.Regions)
		stats.Pictures += int64(s.Pictures + len(s.Empty))
		stats.Bytes += s.Embeddings.Bytes + s.Rows.Bytes
		for _, t := range ix.dead[s.number] {
			stats.Dead += int64(t.Regions)
			stats.Pictures--
		}
	}
	stats.Regions -= stats.Dead
	return stats
}

// Check fails with ErrModels if a detector's models and crops are not those of the index.
func (ix *Index) Check(info detect.Info) error {
	if err := ix.made.checkDetector(info); err != nil {
		return fmt.Errorf("index: %s: %w", ix.dir, err)
	}
	return nil
}

// Crops returns detect.Options.Crops of the Detector that made the index. The caller owns
// the slice.
func (ix *Index) Crops() []detect.Crop {
	var crops []detect.Crop
	for _, c := range ix.made.Crops {
		crops = append(crops, detect.Crop{Mode: detect.CropMode(c.Mode), Context: c.Context})
	}
	return crops
}

// AsStored returns [Options].AsStored of the index: whether boxes are in pixels of the
// pictures as they are stored.
func (ix *Index) AsStored() bool { return ix.made.AsStored }

// contents returns what the rows of a shard are, from memory if they are there.
func (ix *Index) contents(s shard) (*contents, error) {
	ix.mu.Lock()
	c := ix.kept[s.number]
	ix.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := s.contents()
	if err != nil {
		return nil, gone(err)
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if took := c.memory(); ix.kept[s.number] == nil && took <= ix.memory {
		ix.memory -= took
		ix.kept[s.number] = c
	}
	return c, nil
}

// gone is err, or ErrChanged if a shard's file isn't there any more.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return err
}
