package evaluate

import (
	"fmt"
	"os"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/eval"
)

// shard is a part of a data set: each nth picture, starting with the ith, from 1.
type shard struct{ i, n int }

func parseShard(text string) (s shard, err error) {
	s.i, s.n, err = settings.ParseShard(text)
	return s, err
}

// askedShard is parseShard of --shard, which may be env.
func askedShard(text string) (s shard, err error) {
	s.i, s.n, err = settings.ReadShard(text, os.LookupEnv)
	return s, err
}

func (s shard) String() string { return fmt.Sprintf("%d/%d", s.i, s.n) }

func (s shard) of(images []eval.Image) []eval.Image {
	var part []eval.Image
	for k := s.i - 1; k < len(images); k += s.n {
		part = append(part, images[k])
	}
	return part
}
