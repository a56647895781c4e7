package index

import (
	"fmt"
	"slices"

	"github.com/clipdet/clipdet/pkg/detect"
)

// Example returns a region of the index as an example of a query, to search for more like
// it. picture is its path as the index has it, and region its number, from 1, as in Hit.
// It fails with ErrOption if the index has no such region, with ErrDamaged, and with
// ErrChanged as Search does.
func (ix *Index) Example(picture string, region int) (detect.Example, error) {
	for _, s := range ix.shards {
		c, err := ix.contents(s)
		if err != nil {
			return detect.Example{}, fmt.Errorf("index: %w", err)
		}
		for _, p := range c.pictures {
			if p.Path != picture || slices.Contains(ix.dead[s.number], tombstone{s.number, p.Path, p.first, p.regions}) {
				continue
			}
			if region < 1 || region > p.regions {
				return detect.Example{}, fmt.Errorf("index: %w: %s has the regions 1 to %d, and %d is asked for", ErrOption, picture, p.regions, region)
			}
			var of chosen
			if err := ix.chooseOf(s, []int64{int64(p.first + region - 1)}, 0, &of); err != nil {
				return detect.Example{}, fmt.Errorf("index: %w", gone(err))
			}
			return detect.Example{Embedding: of.stored.Embeddings, Name: fmt.Sprintf("%s#%d", picture, region)}, nil
		}
	}
	return detect.Example{}, fmt.Errorf("index: %w: it has no regions of %q; write the path as hits have it", ErrOption, picture)
}
