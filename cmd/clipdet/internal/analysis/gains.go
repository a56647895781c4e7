package analysis

import (
	"cmp"
	"slices"
)

// ledger is what AP50 is computed from, by index of the category. It follows tidecv's
// ap.py.
type ledger struct {
	points    [][]point
	positives []int // number of annotations that count
}

// point is a detection that counts.
type point struct {
	score   float64
	correct bool
}

func newLedger(categories int) *ledger {
	return &ledger{make([][]point, categories), make([]int, categories)}
}

func (l *ledger) add(category int32, p point) { l.points[category] = append(l.points[category], p) }

// ap returns the mean AP of all categories that have annotations or detections, or -1 if
// none has.
func (l *ledger) ap() float64 {
	var each []float64
	for c, points := range l.points {
		if len(points) > 0 || l.positives[c] > 0 {
			each = append(each, averagePrecision(points, l.positives[c]))
		}
	}
	return meanOf(each)
}

// gain returns l's AP minus another, or 0 if l has nothing left to measure.
func (l *ledger) gain(other float64) float64 {
	ap := l.ap()
	if ap < 0 {
		return 0
	}
	return ap - other
}

func averagePrecision(points []point, positives int) float64 {
	if positives == 0 {
		return 0
	}
	points = slices.Clone(points)
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(b.score, a.score) })
	correct := 0
	// best is the precision at each match, and below the best precision at it or a later
	// one.
	var best []float64
	for k, p := range points {
		if p.correct {
			correct++
			best = append(best, float64(correct)/float64(k+1))
		}
	}
	for i := len(best) - 1; i > 0; i-- {
		best[i-1] = max(best[i-1], best[i])
	}
	// AP is the mean, over 101 recalls, of the precision at the first match that reaches
	// the recall.
	const recalls = 101
	sum, i := 0.0, 0
	for r := range recalls {
		recall := float64(r) / (recalls - 1)
		for i < len(best) && float64(i+1)/float64(positives) < recall {
			i++
		}
		if i < len(best) {
			sum += best[i]
		}
	}
	return sum / recalls
}

// gains counts the errors of each kind and returns how much AP50 rises if they are fixed:
// if a fixable detection becomes correct, the others of the kind disappear, and a missed
// annotation no longer counts. As in TIDE, a fall counts as 0.
func (a *analyser) gains(ap float64) (list []ErrorKind, falsePositives, falseNegatives float64) {
	for _, kind := range []Kind{Classification, Localisation, Both, Duplicate, Background, Missed} {
		count := 0
		for _, f := range a.faults {
			if f.kind == kind && !f.ignored {
				count++
			}
		}
		list = append(list, ErrorKind{kind, count, max(0, a.fixed(kind).gain(ap))})
	}
	perfect := newLedger(len(a.base.points))
	perfect.positives = a.base.positives
	reached := newLedger(len(a.base.points))
	for c, points := range a.fixed("").points {
		for _, p := range points {
			score := 0.0
			if p.correct {
				score = 1
			}
			perfect.add(int32(c), point{score, p.correct})
			reached.add(int32(c), p)
		}
		reached.positives[c] = a.base.positives[c] - a.lost[int32(c)]
	}
	return list, perfect.gain(ap), reached.gain(ap)
}

// fixed returns the ledger with one kind of error fixed. Errors precede correct
// detections, which decides between equal scores, as in tidecv.
func (a *analyser) fixed(kind Kind) *ledger {
	l := newLedger(len(a.base.points))
	copy(l.positives, a.base.positives)
	for _, f := range a.faults {
		switch {
		case f.kind == Missed:
			if kind == Missed {
				l.positives[a.truthAt[f.truth].category]--
			}
		case f.kind != kind:
			if !f.ignored {
				l.add(a.resultAt[f.result].category, point{a.results[f.result].Score, false})
			}
		// A fixable error is of classification or localisation. The annotation's category
		// is the right one.
		case f.fixable:
			l.add(a.truthAt[f.truth].category, point{a.results[f.result].Score, true})
		}
	}
	for c, points := range a.base.points {
		for _, p := range points {
			if p.correct {
				l.add(int32(c), p)
			}
		}
	}
	return l
}
