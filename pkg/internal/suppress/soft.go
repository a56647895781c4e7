package suppress

import (
	"math"

	"github.com/clipdet/clipdet/pkg/box"
)

// Decay is how much each box lowers the scores of the others in soft non-maximum
// suppression. It serves the same boxes in many orders.
type Decay struct {
	rows [][]float32 // the factor for each pair of boxes
}

// NewDecay compares every two of the boxes. A kept box multiplies the score of another by
// exp(-IoU²/sigma), the Gaussian of Bodla et al., Soft-NMS, 2017, arXiv:1704.04503,
// equation 3, whose sigma is 0.5. sigma is above 0. With a greater sigma, scores fall
// less.
func NewDecay(boxes []box.Box, sigma float64) *Decay {
	factors := make([]float32, len(boxes)*len(boxes))
	d := &Decay{rows: make([][]float32, len(boxes))}
	for i, b := range boxes {
		d.rows[i] = factors[i*len(boxes):][:len(boxes)]
		d.rows[i][i] = 1
		for k := range i {
			iou := boxes[k].IoU(b)
			factor := float32(math.Exp(-iou * iou / sigma))
			d.rows[i][k], d.rows[k][i] = factor, factor
		}
	}
	return d
}

// NMS keeps the box with the greatest score, lowers the scores of the others by it, and
// repeats this with the rest. It drops no box. It returns the indices and the lowered
// scores, best first. Equal scores stay in their order.
//
// order are the indices of the boxes that take part, best first. scores are their scores,
// in the same order and not negative. limit is the largest number of boxes that are
// returned; 0 is no limit.
func (d *Decay) NMS(order []int, scores []float32, limit int) (kept []int, lowered []float32) {
	rest := append([]int(nil), order...)
	left := append([]float32(nil), scores...)
	for len(rest) > 0 && (limit <= 0 || len(kept) < limit) {
		best := 0
		for i, score := range left {
			if score > left[best] {
				best = i
			}
		}
		chosen := rest[best]
		kept, lowered = append(kept, chosen), append(lowered, left[best])
		rest = append(rest[:best], rest[best+1:]...)
		left = append(left[:best], left[best+1:]...)
		for i, other := range rest {
			left[i] *= d.rows[chosen][other]
		}
	}
	return kept, lowered
}
