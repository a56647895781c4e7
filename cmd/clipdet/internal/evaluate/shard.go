package evaluate

import (
	"fmt"

	"github.com/clipdet/clipdet/pkg/eval"
)

// shard is a part of a data set: each nth picture, starting with the ith, from 1.
type shard struct{ i, n int }

// maxShards is the largest number of shards, beyond any useful number of machines.
const maxShards = 1_000_000

func parseShard(text string) (shard, error) {
	var s shard
	var rest string
	// Valid text gives 2 items and an error, because rest is empty.
	got, _ := fmt.Sscanf(text+" ", "%d/%d%s", &s.i, &s.n, &rest)
	if got != 2 || s.i < 1 || s.i > s.n || s.n > maxShards {
		return s, fmt.Errorf("--shard %q: want I/N with I from 1 to N, and N up to %d, as in 2/8", text, maxShards)
	}
	return s, nil
}

func (s shard) String() string { return fmt.Sprintf("%d/%d", s.i, s.n) }

func (s shard) of(images []eval.Image) []eval.Image {
	var part []eval.Image
	for k := s.i - 1; k < len(images); k += s.n {
		part = append(part, images[k])
	}
	return part
}
