package eval

import "slices"

// epsilon is numpy.spacing(1). pycocotools adds it so that it never divides by 0.
const epsilon = 0x1p-52

// accumulated holds the numbers of one category, or of all categories as one. In a range
// of areas without truths that count, AP and recall are -1.
type accumulated struct {
	truths     int // those that count, of all areas
	detections int
	ap         [areaCount]float64
	ap50, ap75 float64
	precision  [thresholdCount][recallCount]float64 // of all areas
	recall     [areaCount][][thresholdCount]float64 // by limit of detections per image
}

// gathered holds the detections of one category, image by image, the best of each image
// first.
type gathered struct {
	scores   []float64
	place    []int32 // rank within the image, from 0
	verdicts [areaCount][]verdicts
	truths   [areaCount]int // the number that count
}

// accumulate computes what accumulate in pycocotools' cocoeval.py does. limits is
// ascending.
func (g *gathered) accumulate(limits []int) *accumulated {
	a := &accumulated{truths: g.truths[allAreas], detections: len(g.scores), ap50: -1, ap75: -1}
	order := make([]int32, len(g.scores))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(i, k int32) int {
		switch {
		case g.scores[i] > g.scores[k]:
			return -1
		case g.scores[i] < g.scores[k]:
			return 1
		}
		return int(i - k) // keeps the order of equal scores
	})
	sorted := make([]verdicts, len(order))
	var found []float64
	for area := range areaCount {
		a.ap[area] = -1
		a.recall[area] = g.recalls(area, limits)
		if g.truths[area] == 0 {
			continue
		}
		for k, i := range order {
			sorted[k] = g.verdicts[area][i]
		}
		var precision [thresholdCount][recallCount]float64
		for t := range thresholdCount {
			found = precisions(sorted, t, found[:0])
			interpolate(found, g.truths[area], recallThresholds, precision[t][:])
		}
		sum := 0.0
		for t := range thresholdCount {
			sum += total(precision[t][:])
		}
		a.ap[area] = sum / (thresholdCount * recallCount)
		if area == allAreas {
			a.precision = precision
			a.ap50 = total(precision[half][:]) / recallCount
			a.ap75 = total(precision[threeQuarters][:]) / recallCount
		}
	}
	return a
}

// recalls returns the share of the truths that are found, for each limit of detections
// per image and each threshold.
func (g *gathered) recalls(area int, limits []int) [][thresholdCount]float64 {
	recalls := make([][thresholdCount]float64, len(limits))
	for k, limit := range limits {
		var found [thresholdCount]int
		for i, v := range g.verdicts[area] {
			if hits := v.matched &^ v.ignored; hits != 0 && int(g.place[i]) < limit {
				for t := range thresholdCount {
					found[t] += int(hits >> t & 1)
				}
			}
		}
		for t := range thresholdCount {
			recalls[k][t] = -1
			if n := g.truths[area]; n > 0 {
				recalls[k][t] = float64(found[t]) / float64(n)
			}
		}
	}
	return recalls
}

// precisions appends, for each true positive by descending score, the best precision at
// it or later. False positives between two true positives only lower the precision.
func precisions(sorted []verdicts, t int, found []float64) []float64 {
	positives, negatives := 0.0, 0.0
	for _, v := range sorted {
		switch {
		case v.ignored>>t&1 != 0:
		case v.matched>>t&1 != 0:
			positives++
			found = append(found, positives/(negatives+positives+epsilon))
		default:
			negatives++
		}
	}
	for i := len(found) - 1; i > 0; i-- {
		found[i-1] = max(found[i-1], found[i])
	}
	return found
}

// interpolate sets the precision at each threshold of recall to the precision of the
// first true positive that reaches it, or to 0 if none does.
func interpolate(found []float64, truths int, recalls, precision []float64) {
	i := 0
	for r, recall := range recalls {
		for i < len(found) && float64(i+1)/float64(truths) < recall {
			i++
		}
		if i == len(found) {
			return
		}
		precision[r] = found[i]
	}
}

func total(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum
}
