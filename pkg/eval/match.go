package eval

// verdicts says of a detection at which IoU thresholds it is matched with a
// truth, and at which it counts neither for nor against. Bit t is threshold t.
type verdicts struct{ matched, ignored uint16 }

// matcher matches the detections of one image and category, or of one image and
// all categories, with the truths. Its buffers are used again.
type matcher struct {
	truths  []truth
	overlap []float64 // [detections, truths]
	close   []bool    // whether a detection overlaps any truth enough for the lowest threshold
	ordered []int     // truths, those to be ignored last
	taken   []bool    // by truth
}

type truth struct {
	box   BBox
	area  float64
	crowd bool
	zero  bool // its annotation's id is 0
}

// lowest is the IoU that a match needs at threshold t. pycocotools lowers a threshold of 1 in the same way.
func lowest(t int) float64 { return min(iouThresholds[t], 1-1e-10) }

// prepare computes how detections, best first, overlap with the truths.
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

// match adds a verdict on each detection for one range of areas to out, and
// says how many truths count. It is evaluateImg of pycocotools' cocoeval.py.
// excused says that unmatched detections don't count.
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

// greedy gives each detection, in their order, the truth that it overlaps most
// of those still free, the later one if two are equal. Only where none that
// counts is left may it take one that is ignored. Crowds are always free.
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
