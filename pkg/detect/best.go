package detect

import (
	"cmp"
	"slices"
)

// best collects values, and of more than most those with the greatest scores, of equal
// ones the earlier. most is 0 for all.
type best[T any] struct {
	most  int
	score func(T) float32
	all   []T
	full  bool    // so many are there that a lower score than least doesn't count
	least float32 // score of the last one at the latest cut
}

func (b *best[T]) add(v T) {
	if b.full && b.score(v) <= b.least {
		return
	}
	if b.all = append(b.all, v); b.most > 0 && len(b.all) >= 2*b.most+100 {
		b.cut()
	}
}

// cut sorts the values, best first, and drops those that are too many.
func (b *best[T]) cut() {
	if b.most == 0 || len(b.all) <= b.most {
		return
	}
	b.sort()
	b.all = b.all[:b.most]
	b.full, b.least = true, b.score(b.all[b.most-1])
}

func (b *best[T]) sort() {
	slices.SortStableFunc(b.all, func(a, c T) int { return cmp.Compare(b.score(c), b.score(a)) })
}
