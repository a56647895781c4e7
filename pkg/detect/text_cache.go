package detect

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/files"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// textCache keeps the embeddings of phrases in files, so that a later run with the same
// model doesn't encode them again. The zero textCache keeps nothing.
//
// A file holds the phrases of one list, [T,D] float32 little endian, and their CRC-32.
// Its path is a hash of the tokens and of all that changes the last digits of an
// embedding: the digest of the text tower, the version of libtorch, and the GPU, or the
// processor and the number of threads. So no file is ever stale. A file that isn't whole
// counts as missing.
type textCache struct {
	dir   string
	width int
	log   *slog.Logger
}

func newTextCache(dir string, text archive.Manifest, device torch.Device, threads int, log *slog.Logger) textCache {
	if dir == "" {
		return textCache{}
	}
	h := sha256.New()
	fmt.Fprintln(h, text.Digest, "blocks of 8")
	fmt.Fprintln(h, torch.Version())
	if gpu, err := device.GPU(); err == nil {
		fmt.Fprintln(h, gpu.Name)
	} else {
		fmt.Fprintln(h, threads, torch.HostProcessor().Kind)
	}
	return textCache{filepath.Join(dir, hex.EncodeToString(h.Sum(nil)[:16])), text.EmbeddingWidth, log}
}

// read returns the embeddings [T,D] of phrases, given as tokens, or nil if they aren't
// there.
func (c textCache) read(tokens [][]int64) []float32 {
	if c.dir == "" {
		return nil
	}
	size := 4 * len(tokens) * c.width
	data := readWhole(c.path(tokens), size+4)
	if data == nil || crc32.ChecksumIEEE(data[:size]) != binary.LittleEndian.Uint32(data[size:]) {
		return nil
	}
	values := make([]float32, size/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return values
}

// readWhole returns the content of a regular file of size bytes, or nil.
func readWhole(path string, size int) []byte {
	file, err := files.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(size) {
		return nil
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil
	}
	return data
}

// write keeps the embeddings [T,D] of phrases. It only logs an error, since the caller
// has the embeddings.
func (c textCache) write(tokens [][]int64, values []float32) {
	data := make([]byte, 0, 4*len(values)+4)
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	data = binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE(data))
	if err := replaceFile(c.path(tokens), data); err != nil {
		c.log.Debug("embeddings of phrases can't be kept", "error", err)
	}
}

// replaceFile writes a file of a cache, and makes its directories.
func replaceFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := files.Write(path, 0o644, data); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (c textCache) path(tokens [][]int64) string {
	h := sha256.New()
	for _, row := range tokens {
		_ = binary.Write(h, binary.LittleEndian, row) // a hash has no errors
	}
	return filepath.Join(c.dir, hex.EncodeToString(h.Sum(nil)[:16])+".f32")
}
