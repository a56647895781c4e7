package box

// NMS is greedy non-maximum suppression: it walks the boxes best first, keeps
// each that no kept box overlaps with an IoU greater than iou, and returns the
// indices of the kept ones, best first.
//
// order holds the indices of the boxes that take part, best first, each within
// boxes. limit ends the walk after that many kept boxes; 0 is no limit. An iou
// of 1 or more suppresses nothing, and an empty box neither suppresses nor is
// suppressed for iou >= 0.
//
// The overlap is computed in float32 with the operations of torchvision's CPU
// kernel (torchvision/csrc/ops/cpu/nms_kernel.cpp), not through [Box.IoU], so
// that a pair right at the threshold falls to the same side.
func NMS(boxes []Box, order []int, iou float64, limit int) []int {
	var kept []int
	areas := make([]float32, len(boxes))
	for _, i := range order {
		areas[i] = (boxes[i].X1 - boxes[i].X0) * (boxes[i].Y1 - boxes[i].Y0)
	}
candidates:
	for _, i := range order {
		if limit > 0 && len(kept) == limit {
			break
		}
		for _, k := range kept {
			if overlap(boxes[k], boxes[i], areas[k], areas[i]) > iou {
				continue candidates
			}
		}
		kept = append(kept, i)
	}
	return kept
}

// overlap is the IoU of b and c, whose areas are given, in float32. The
// conversions keep the compiler from fusing a product with the following sum.
// Most pairs lie apart, which is seen without arithmetic.
func overlap(b, c Box, areaB, areaC float32) float64 {
	if b.X1 <= c.X0 || c.X1 <= b.X0 || b.Y1 <= c.Y0 || c.Y1 <= b.Y0 {
		return 0
	}
	width := max(0, min(b.X1, c.X1)-max(b.X0, c.X0))
	height := max(0, min(b.Y1, c.Y1)-max(b.Y0, c.Y0))
	shared := float32(width * height)
	return float64(shared / (areaB + areaC - shared))
}
