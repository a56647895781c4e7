package results

import (
	"fmt"

	"github.com/clipdet/clipdet/pkg/detect"
)

// gathered are the records of pictures whose detections stand anywhere.
type gathered[K comparable] struct {
	limits  Limits
	records []Record
	at      map[K]int // the place of a picture's record
	count   int
}

// add gives a detection to the record of a picture, which is empty where it is the first.
func (g *gathered[K]) add(picture K, empty Record, d detect.Detection) error {
	g.count++
	if err := g.limits.check(g.count); err != nil {
		return err
	}
	one := empty
	one.Detections = []detect.Detection{d}
	if err := one.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	at, ok := g.at[picture]
	if !ok {
		if g.at == nil {
			g.at = map[K]int{}
		}
		at = len(g.records)
		g.at[picture] = at
		g.records = append(g.records, empty)
	}
	g.records[at].Detections = append(g.records[at].Detections, d)
	return nil
}
