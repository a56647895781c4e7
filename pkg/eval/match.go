package eval

// verdicts holds a bit for each IoU threshold, bit t for threshold t: whether a detection
// is matched with a truth, and whether it is ignored, that is, counts neither for nor
// against.
type verdicts struct{ matched, ignored uint16 }

// matcher matches the detections of one image with its truths, of one category or of all
// categories. Its buffers are reused.
type matcher struct {
	truths  []truth
	overlap []float64 // [detections, truths]
	// close holds whether a detection overlaps any truth enough for the lowest threshold.
	close   []bool
	ordered []int  // indices of truths, ignored ones last
	taken   []bool // by index of the truth
}

type truth struct {
	box   BBox
	area  float64
	crowd bool
	zero  bool // its annotation's id is 0
}

// lowest returns the IoU that a match needs at threshold t. Like pycocotools, it lowers a
// threshold of 1.
func lowest(t int) float64 { return min(iouThresholds[t], 1-1e-10) }

// prepare computes the overlap of each box with each truth.
func (m *matcher) prepare(boxes []BBox) {
	m.overlap, m.close = m.overlap[:0], m.close[:0]
	for _, b := range boxes {
		best := 0.0
		for i := range m.truths {
			overlap := b.IoU(m.truths[i].box, m.truths[i].crowd)
			m.overlap = append(m.overlap, overlap)
			best = max(best, overlap)
		}
		m.close = append(m.close, best >= lowest(half))
	}
}

// match appends to out a verdict on each box for one range of areas, as evaluateImg in
// pycocotools' cocoeval.py does. The boxes are the best first. If excused is set,
// unmatched boxes don't count. match also returns the number of truths that count.
func (m *matcher) match(boxes []BBox, area int, excused bool, out []verdicts) ([]verdicts, int) {
	m.ordered = m.ordered[:0]
	for i := range m.truths {
		if !m.ignores(i, area) {
			m.ordered = append(m.ordered, i)
		}
	}
	counted := len(m.ordered)
	for i := range m.truths {
		if m.ignores(i, area) {
			m.ordered = append(m.ordered, i)
		}
	}
	first := len(out)
	for range boxes {
		out = append(out, verdicts{})
	}
	for t := range thresholdCount {
		m.greedy(t, counted, out[first:])
	}
	for d, b := range boxes {
		if excused || outside(b.area(), area) {
			v := &out[first+d]
			v.ignored |= ^v.matched & (1<<thresholdCount - 1)
		}
	}
	return out, counted
}

func (m *matcher) ignores(i, area int) bool {
	return m.truths[i].crowd || outside(m.truths[i].area, area)
}

// greedy gives each detection in turn the free truth that it overlaps most, and the later
// of two equal ones. Ignored truths, which follow the first counted ones, are considered
// only if no other fits. A crowd region is always free.
func (m *matcher) greedy(t, counted int, out []verdicts) {
	if len(m.truths) == 0 {
		return
	}
	m.taken = append(m.taken[:0], make([]bool, len(m.truths))...)
	for d := range out {
		if !m.close[d] {
			continue
		}
		overlap := m.overlap[d*len(m.truths):][:len(m.truths)]
		best, found := lowest(t), -1
		for k, i := range m.ordered {
			if k == counted && found >= 0 {
				break
			}
			if m.taken[i] && !m.truths[i].crowd || overlap[i] < best {
				continue
			}
			best, found = overlap[i], k
		}
		if found < 0 {
			continue
		}
		i := m.ordered[found]
		m.taken[i] = true
		if found >= counted {
			out[d].ignored |= 1 << t
		}
		if !m.truths[i].zero {
			out[d].matched |= 1 << t
		}
	}
}
