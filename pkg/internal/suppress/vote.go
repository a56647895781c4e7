package suppress

import "github.com/clipdet/clipdet/pkg/box"

// Vote returns the mean of the boxes that overlap b with an IoU above iou, each edge
// weighted by the scores of the boxes. boxes are the boxes before suppression, b
// included. Boxes with scores of 0 or less don't count; if none counts, Vote returns b.
// This is box voting (Gidaris and Komodakis, 2015, arXiv:1505.01749, section 4.3, whose
// iou is 0.5).
func Vote(b box.Box, boxes []box.Box, scores []float32, iou float64) box.Box {
	var total, x0, y0, x1, y1 float64
	for i, other := range boxes {
		if !(scores[i] > 0) || !(b.IoU(other) > iou) {
			continue
		}
		w := float64(scores[i])
		total += w
		x0 += w * float64(other.X0)
		y0 += w * float64(other.Y0)
		x1 += w * float64(other.X1)
		y1 += w * float64(other.Y1)
	}
	if total == 0 {
		return b
	}
	return box.Box{X0: float32(x0 / total), Y0: float32(y0 / total), X1: float32(x1 / total), Y1: float32(y1 / total)}
}
