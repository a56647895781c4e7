package index

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// Verify reads every byte of the index in dir, and returns what is wrong with it: an
// ErrDamaged for each file that isn't what was written, also if a file is missing, and an
// ErrModels if shards are of different models. It returns nil if nothing is. The error is
// ErrNone, the cause of ctx's end, or of the file system.
func Verify(ctx context.Context, dir string) (wrong []error, err error) {
	all, err := numbers(dir)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	whole := make(map[int]bool)
	for _, number := range all {
		whole[number] = true
	}
	for _, entry := range entries {
		if number, extension, ok := numberOf(entry.Name()); ok && extension == "npy" && !whole[number] {
			wrong = append(wrong, fmt.Errorf("%s: %w: its JSON is missing; if it was interrupted, the next run removes it", shardPath(dir, number, extension), ErrDamaged))
		}
	}
	if len(all) == 0 && len(wrong) == 0 {
		return nil, fmt.Errorf("index: %w in %s: no shard-NNNNN.json is there", ErrNone, dir)
	}
	var first *shard
	for _, number := range all {
		s, err := readShard(dir, number)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if first == nil {
			first = &s
		} else if err := first.Made.check(s.Made); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", s.path("json"), err))
		}
		for extension, want := range map[string]sum{"npy": s.Embeddings, "parquet": s.Rows} {
			err := s.checkFile(ctx, extension, want)
			if errors.Is(err, ErrDamaged) {
				wrong = append(wrong, err)
			} else if err != nil {
				return wrong, fmt.Errorf("index: %w", err)
			}
		}
	}
	return wrong, nil
}

// checkFile reads a file of the shard, and fails with ErrDamaged if it isn't what was
// written.
func (s shard) checkFile(ctx context.Context, extension string, want sum) error {
	got, err := checksum(ctx, s.path(extension))
	if err == nil && got != want {
		err = fmt.Errorf("%s: %w: its SHA-256 is %.12s, and %.12s was written", s.path(extension), ErrDamaged, got.SHA256, want.SHA256)
	}
	return err
}

func checksum(ctx context.Context, path string) (sum, error) {
	file, err := os.Open(path)
	if err != nil {
		return sum{}, err
	}
	defer file.Close()
	hash, n := sha256.New(), int64(0)
	for {
		if ctx.Err() != nil {
			return sum{}, context.Cause(ctx)
		}
		some, err := io.CopyN(hash, file, 16<<20)
		n += some
		if errors.Is(err, io.EOF) {
			return sum{n, hex.EncodeToString(hash.Sum(nil))}, nil
		}
		if err != nil {
			return sum{}, err
		}
	}
}
