package eval

// These are the values of pycocotools' Params.setDetParams.
const (
	thresholdCount = 10  // of IoU
	recallCount    = 101 // of recall
	half           = 0   // index of IoU 0.50
	threeQuarters  = 5   // index of IoU 0.75
)

var (
	iouThresholds    = linspace(0.5, 0.95, thresholdCount)
	recallThresholds = linspace(0, 1, recallCount)
)

// linspace rounds as numpy.linspace does, to the last bit, because a detection may have
// exactly the IoU of a threshold.
func linspace(start, stop float64, n int) []float64 {
	step := (stop - start) / float64(n-1)
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(float64(i)*step) + start // the conversion prevents fusing
	}
	values[n-1] = stop
	return values
}

// areaRanges holds the ranges of all, small, medium and large objects, in square pixels.
// Both ends belong to a range, so an object of 32*32 is small and medium.
var areaRanges = [areaCount]struct{ low, high float64 }{
	{0, 1e5 * 1e5}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e5 * 1e5},
}

const (
	allAreas = iota
	smallAreas
	mediumAreas
	largeAreas
	areaCount
)

func outside(area float64, which int) bool {
	return area < areaRanges[which].low || area > areaRanges[which].high
}
