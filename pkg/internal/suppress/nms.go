// Package suppress chooses among boxes that overlap, by non-maximum suppression, hard or
// soft, and by box voting.
package suppress

import "github.com/clipdet/clipdet/pkg/box"

// Overlaps says which boxes suppress which others. It serves the same boxes in many
// orders.
type Overlaps struct {
	rows [][]uint64 // of each box, a bit for each box that it suppresses
}

// NewOverlaps compares every two of the boxes. Two boxes suppress each other if their IoU
// is above iou. With an iou of 1 or more no boxes overlap. With an iou of 0 or more an
// empty box overlaps none.
//
// The overlap is computed in float32 with the operations of torchvision's CPU kernel
// (torchvision/csrc/ops/cpu/nms_kernel.cpp), and not by box.Box.IoU, so that a pair right
// at the threshold is judged as there.
func NewOverlaps(boxes []box.Box, iou float64) *Overlaps {
	o := noOverlaps(len(boxes))
	areas := make([]float32, len(boxes))
	for i, b := range boxes {
		areas[i] = (b.X1 - b.X0) * (b.Y1 - b.Y0)
		for k := range i {
			if overlap(boxes[k], b, areas[k], areas[i]) > iou {
				o.set(i, k)
				o.set(k, i)
			}
		}
	}
	return o
}

// NewContained compares every two of the boxes. A box suppresses another if more than
// share of the other's area, with share in [0,1), lies inside it. So parts of a thing are
// dropped if the whole is stronger. An empty box lies in none.
func NewContained(boxes []box.Box, share float64) *Overlaps {
	o := noOverlaps(len(boxes))
	for i, b := range boxes {
		for k, c := range boxes {
			if i != k && b.Intersect(c).Area() > share*c.Area() {
				o.set(i, k)
			}
		}
	}
	return o
}

func noOverlaps(boxes int) *Overlaps {
	words := (boxes + 63) / 64
	bits := make([]uint64, boxes*words)
	o := &Overlaps{rows: make([][]uint64, boxes)}
	for i := range o.rows {
		o.rows[i] = bits[i*words:][:words]
	}
	return o
}

// set records that box i suppresses box k.
func (o *Overlaps) set(i, k int) { o.rows[i][k/64] |= 1 << (k % 64) }

// NMS is greedy non-maximum suppression. It goes through the boxes, best first, and keeps
// each box that no kept box suppresses. It returns the indices of the kept boxes, best
// first.
//
// order are the indices of the boxes that take part, best first. limit is the largest
// number of boxes that are kept; 0 is no limit.
func (o *Overlaps) NMS(order []int, limit int) []int {
	var kept []int
	suppressed := make([]uint64, (len(o.rows)+63)/64)
	for _, i := range order {
		if limit > 0 && len(kept) == limit {
			break
		}
		if suppressed[i/64]>>(i%64)&1 == 1 {
			continue
		}
		kept = append(kept, i)
		for w, bits := range o.rows[i] {
			suppressed[w] |= bits
		}
	}
	return kept
}

// overlap returns the IoU of b and c, whose areas are given, in float32. The conversion
// keeps the compiler from fusing the product with the following sum.
func overlap(b, c box.Box, areaB, areaC float32) float64 {
	width := max(0, min(b.X1, c.X1)-max(b.X0, c.X0))
	height := max(0, min(b.Y1, c.Y1)-max(b.Y0, c.Y0))
	shared := float32(width * height)
	return float64(shared / (areaB + areaC - shared))
}
