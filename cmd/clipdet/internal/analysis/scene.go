package analysis

// scene is one image under analysis. It follows TIDEExample and TIDERun in tidecv's
// quantify.py.
type scene struct {
	*analyser
	truths  []int32 // annotation indices, in their order
	ranked  []int32 // result indices, best first
	overlap [][]float64
	used    []int   // for each truth, its match in ranked; -1: none
	matches []int   // for each result, its match in truths; -1: none
	excused []bool  // results that count neither for nor against
	best    []int   // for each unmatched truth, its first claim; -1: none
	kinds   []fault // for each result
}

// fault is one error: a wrong detection or a missed annotation.
type fault struct {
	kind    Kind
	result  int32 // -1: missed
	truth   int32 // annotation concerned, -1: none
	iou     float64
	ignored bool
	fixable bool // fixing this kind makes the detection correct
}

func (s *scene) crowd(i int) bool { return s.d.Annotations[s.truths[i]].Crowd && !s.d.Federated }

func (s *scene) sameCategory(r, i int) bool {
	return s.resultAt[s.ranked[r]].category == s.truthAt[s.truths[i]].category
}

// match assigns to each detection, best first, the free annotation of its category that
// it overlaps most. Unlike COCO's matching it takes the first of equal ones.
func (s *scene) match() {
	s.used, s.matches = filled(len(s.truths)), filled(len(s.ranked))
	s.best = filled(len(s.truths))
	for r, result := range s.ranked {
		row := make([]float64, len(s.truths))
		for i, truth := range s.truths {
			row[i] = s.results[result].BBox.IoU(s.d.Annotations[truth].BBox, s.crowd(i))
		}
		s.overlap = append(s.overlap, row)
		i, iou := s.most(r, func(i int) bool { return s.sameCategory(r, i) && s.used[i] < 0 })
		if i >= 0 && iou >= foreground {
			s.used[i], s.matches[r] = r, i
		}
	}
}

func filled(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = -1
	}
	return list
}

// most returns the annotation that result r overlaps most, among those that are no crowd
// and for which fits holds. It returns -1 if r overlaps none.
func (s *scene) most(r int, fits func(i int) bool) (found int, iou float64) {
	found = -1
	for i, overlap := range s.overlap[r] {
		if overlap > iou && !s.crowd(i) && fits(i) {
			found, iou = i, overlap
		}
	}
	return found, iou
}

// ignore excuses unmatched detections that lie in a crowd of their category, or whose
// category is ignored in this image.
func (s *scene) ignore(ignored func(position) bool) {
	s.excused = make([]bool, len(s.ranked))
	for r, result := range s.ranked {
		if s.matches[r] >= 0 {
			continue
		}
		s.excused[r] = ignored(s.resultAt[result])
		for i := range s.truths {
			if s.crowd(i) && s.sameCategory(r, i) && s.overlap[r][i] > foreground {
				s.excused[r] = true
			}
		}
	}
}

// judge sets the kind of each detection and adds points and faults to the analyser.
func (s *scene) judge() {
	s.kinds = make([]fault, len(s.ranked))
	for r, result := range s.ranked {
		at, score := s.resultAt[result], s.results[result].Score
		if i := s.matches[r]; i >= 0 {
			s.kinds[r] = fault{kind: Correct, result: result, truth: s.truths[i], iou: s.overlap[r][i]}
		} else {
			s.kinds[r] = s.fault(r)
		}
		if !s.excused[r] {
			s.base.add(at.category, point{score, s.matches[r] >= 0})
		}
	}
	for _, r := range s.best {
		if r >= 0 {
			s.kinds[r].fixable = true
		}
	}
	for r := range s.kinds {
		if s.kinds[r].kind != Correct {
			s.faults = append(s.faults, s.kinds[r])
		}
	}
	for i, truth := range s.truths {
		if s.crowd(i) {
			continue
		}
		category := s.truthAt[truth].category
		s.base.positives[category]++
		if s.used[i] < 0 {
			s.lost[category]++
			if s.best[i] < 0 {
				s.faults = append(s.faults, fault{kind: Missed, result: -1, truth: truth})
			}
		}
	}
}

// fault returns the error of detection r. The tests are in the order of TIDE.
func (s *scene) fault(r int) fault {
	f := fault{result: s.ranked[r], truth: -1, ignored: s.excused[r]}
	about := func(kind Kind, i int, iou float64) fault {
		f.kind, f.iou = kind, iou
		if i >= 0 {
			f.truth = s.truths[i]
		}
		return f
	}
	if i, iou := s.most(r, func(i int) bool { return s.sameCategory(r, i) }); iou >= background && iou <= foreground {
		s.claim(r, i)
		return about(Localisation, i, iou)
	}
	if i, iou := s.most(r, func(i int) bool { return !s.sameCategory(r, i) }); iou >= foreground {
		s.claim(r, i)
		return about(Classification, i, iou)
	}
	if i, iou := s.most(r, func(i int) bool { return s.sameCategory(r, i) && s.used[i] >= 0 }); iou >= foreground {
		return about(Duplicate, i, iou)
	}
	i, iou := s.most(r, func(int) bool { return true })
	if iou <= background {
		return about(Background, i, iou)
	}
	return about(Both, i, iou)
}

// claim records that detection r would match annotation i if it were corrected. Only the
// best claim on an annotation can be fixed, regardless of its kind.
func (s *scene) claim(r, i int) {
	if s.used[i] < 0 && s.best[i] < 0 {
		s.best[i] = r // results are in descending order
	}
}

func (s *scene) verdicts(imageID int64, cover coverage) ImageVerdicts {
	to := ImageVerdicts{imageID, make([]DetectionVerdict, len(s.ranked)), make([]AnnotationVerdict, len(s.truths))}
	for r, f := range s.kinds {
		kind := f.kind
		if f.ignored {
			kind = Ignored
		}
		to.Detections[r] = DetectionVerdict{int(f.result), kind, int(f.truth), f.iou}
	}
	for i, truth := range s.truths {
		v := AnnotationVerdict{Annotation: int(truth), Kind: Missed, Result: -1}
		switch {
		case s.crowd(i):
			v.Kind = Ignored
		case s.used[i] >= 0:
			v.Kind, v.Result = Correct, int(s.ranked[s.used[i]])
		case s.best[i] >= 0:
			v.Kind, v.Result = s.kinds[s.best[i]].kind, int(s.ranked[s.best[i]])
		}
		v.Cause = cover.cause(v.Kind, imageID, s.d.Annotations[truth].BBox)
		to.Annotations[i] = v
	}
	return to
}
