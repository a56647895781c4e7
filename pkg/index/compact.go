package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/clipdet/clipdet/pkg/detect"
)

// Compact writes the regions that searches see into new shards, and removes the old ones.
// It needs the space of both for a while. It does nothing if no region is dead and all
// shards but the last are complete. Killed at any time, it leaves an index with the same
// regions. An Index that is open fails with ErrChanged afterwards.
//
// It fails with ErrNone, ErrBusy, ErrDamaged, ErrModels and ErrOption, and with the cause
// if ctx ends. options.Part and Parts are those that the index was written with.
func Compact(ctx context.Context, dir string, options Options) (err error) {
	shards, err := readShards(dir)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if len(shards) == 0 {
		return fmt.Errorf("index: %w in %s: no shard-NNNNN.json is there", ErrNone, dir)
	}
	w, err := create(dir, shards[0].Made, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	// Again, since another Writer may have ended in between.
	if shards, err = readShards(dir); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if !w.wasteful(shards) {
		return nil
	}
	// A damaged embedding would get a checksum that fits. Rows are checked as they are read.
	for _, s := range shards {
		if err := s.checkFile(ctx, "npy", s.Embeddings); err != nil {
			return fmt.Errorf("index: compact: %w", err)
		}
	}
	for _, s := range shards {
		if err := w.copy(ctx, s); err != nil {
			return fmt.Errorf("index: compact: %w", err)
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	// All JSON first: who misses another file and opens the index again gets what stays. The
	// oldest first: a later shard may have the tombstones of an earlier one.
	for _, extension := range []string{"json", "npy", "parquet"} {
		for _, s := range shards {
			if err := os.Remove(s.path(extension)); err != nil {
				return fmt.Errorf("index: compact: %w", err)
			}
		}
	}
	return w.forget()
}

// wasteful reports whether the shards hold dead regions, or are smaller than they could
// be.
func (w *Writer) wasteful(shards []shard) bool {
	for i, s := range shards {
		small := s.Regions < w.options.ShardRegions && len(s.Empty) < w.options.ShardRegions && i < len(shards)-1
		if small || len(s.Tombstones) > 0 {
			return true
		}
	}
	return len(w.tombstones) > 0
}

// copy appends what is alive of a shard.
func (w *Writer) copy(ctx context.Context, s shard) error {
	v, err := s.vectors()
	if err != nil {
		return err
	}
	defer v.close()
	c, err := s.contents()
	if err != nil {
		return err
	}
	for _, p := range c.pictures {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if w.known[p.Path].at != (tombstone{s.number, p.Path, p.first, p.regions}) {
			continue
		}
		proposals := make([]detect.Proposal, p.regions)
		for i := range proposals {
			proposals[i] = detect.Proposal{Box: c.boxes[p.first+i], Objectness: c.objectness[p.first+i]}
		}
		embeddings := v.values[p.first*s.Made.Width : (p.first+p.regions)*s.Made.Width]
		if err := w.append(p.Picture, p.width, p.height, proposals, embeddings); err != nil {
			return err
		}
	}
	for _, p := range s.Empty {
		if w.known[p.Path].at != (tombstone{Shard: s.number, Picture: p.Path}) {
			continue
		}
		if err := w.append(p.Picture, p.Width, p.Height, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// forget removes tombstones of shards that are gone.
func (w *Writer) forget() error {
	left, err := readShards(w.dir)
	if err != nil {
		return fmt.Errorf("index: compact: %w", err)
	}
	for _, s := range left {
		n := len(s.Tombstones)
		s.Tombstones = slices.DeleteFunc(s.Tombstones, func(t tombstone) bool {
			return !slices.ContainsFunc(left, func(other shard) bool { return other.number == t.Shard })
		})
		if len(s.Tombstones) == n {
			continue
		}
		if len(s.Tombstones) == 0 {
			s.Tombstones = nil
		}
		if err := writeManifest(s.path("json"), s.manifest); err != nil {
			return fmt.Errorf("index: compact: %w", err)
		}
	}
	return nil
}
