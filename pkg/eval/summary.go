package eval

// Summary holds pycocotools' 12 numbers. AP is the mean over IoU 0.50, 0.55 to 0.95; AP50
// and AP75 are at one IoU. APs, APm and APl are the AP of objects of up to 32*32, up to
// 96*96 and more square pixels. AR1, AR10 and AR100 are the mean recall with that many
// detections per image and category. ARs, ARm and ARl are AR100 for objects of those
// sizes. Each is in [0,1], or -1 if there is no ground truth.
//
// In federated evaluation, AP, ARs, ARm and ARl allow 300 detections per image, and AR1
// to AR100 the best of those per category. In JSON, the fields of FederatedSummary are
// next to the others.
type Summary struct {
	AP    float64 `json:"AP"`
	AP50  float64 `json:"AP50"`
	AP75  float64 `json:"AP75"`
	APs   float64 `json:"APs"`
	APm   float64 `json:"APm"`
	APl   float64 `json:"APl"`
	AR1   float64 `json:"AR1"`
	AR10  float64 `json:"AR10"`
	AR100 float64 `json:"AR100"`
	ARs   float64 `json:"ARs"`
	ARm   float64 `json:"ARm"`
	ARl   float64 `json:"ARl"`
	// FederatedSummary is nil if the data set is not federated.
	*FederatedSummary
}

// FederatedSummary holds the numbers that only LVIS has: the AP of rare, common and
// frequent categories, -1 if no category has that frequency, and the recall with 300
// detections per image.
type FederatedSummary struct {
	APr   float64 `json:"APr"`
	APc   float64 `json:"APc"`
	APf   float64 `json:"APf"`
	AR300 float64 `json:"AR300"`
}

// mean is the mean of the values that aren't negative, or -1 if there are none.
type mean struct {
	sum   float64
	count int
}

func (m *mean) add(v float64) {
	if v >= 0 {
		m.sum += v
		m.count++
	}
}

func (m *mean) value() float64 {
	if m.count == 0 {
		return -1
	}
	return m.sum / float64(m.count)
}

func meanOf(values []float64) float64 {
	var m mean
	for _, v := range values {
		m.add(v)
	}
	return m.value()
}

// evaluation combines the numbers of all categories, which are in order of rank. Every
// category that counts has the same number of values, so the mean over all values is the
// mean over categories.
func (e *evaluator) evaluation(parts []*accumulated) *Evaluation {
	to := &Evaluation{Categories: make([]CategoryMetrics, len(parts))}
	summaries := make([]Summary, len(parts))
	for k, part := range parts {
		c := e.d.Categories[e.categories.order[k]]
		summaries[k] = part.summary(e.d.Federated, c.Frequency)
		to.Categories[k] = CategoryMetrics{c.ID, c.Name, c.Frequency, part.truths, part.detections, summaries[k], part.curve()}
	}
	to.Summary = meanSummary(summaries, e.d.Federated)
	to.Curve = meanCurve(to.Categories)
	return to
}

// summary returns the numbers of one category.
func (a *accumulated) summary(federated bool, frequency string) Summary {
	last := len(a.recall[allAreas]) - 1
	s := Summary{
		AP: a.ap[allAreas], AP50: a.ap50, AP75: a.ap75,
		APs: a.ap[smallAreas], APm: a.ap[mediumAreas], APl: a.ap[largeAreas],
		AR1: meanOf(a.recall[allAreas][0][:]), AR10: meanOf(a.recall[allAreas][1][:]), AR100: meanOf(a.recall[allAreas][2][:]),
		ARs: meanOf(a.recall[smallAreas][last][:]), ARm: meanOf(a.recall[mediumAreas][last][:]), ARl: meanOf(a.recall[largeAreas][last][:]),
	}
	if federated {
		s.FederatedSummary = &FederatedSummary{APr: -1, APc: -1, APf: -1, AR300: meanOf(a.recall[allAreas][last][:])}
		switch frequency {
		case "r":
			s.APr = s.AP
		case "c":
			s.APc = s.AP
		case "f":
			s.APf = s.AP
		}
	}
	return s
}

func (s *Summary) values() []*float64 {
	list := []*float64{&s.AP, &s.AP50, &s.AP75, &s.APs, &s.APm, &s.APl, &s.AR1, &s.AR10, &s.AR100, &s.ARs, &s.ARm, &s.ARl}
	if s.FederatedSummary != nil {
		list = append(list, &s.APr, &s.APc, &s.APf, &s.AR300)
	}
	return list
}

func meanSummary(parts []Summary, federated bool) Summary {
	var s Summary
	if federated {
		s.FederatedSummary = new(FederatedSummary)
	}
	means := make([]mean, len(s.values()))
	for k := range parts {
		for i, v := range parts[k].values() {
			means[i].add(*v)
		}
	}
	for i, v := range s.values() {
		*v = means[i].value()
	}
	return s
}

func (a *accumulated) curve() Curve {
	if a.truths == 0 {
		return Curve{}
	}
	c := Curve{Precision: make([]float64, recallCount)}
	c.Precision50 = append(c.Precision50, a.precision[half][:]...)
	for r := range recallCount {
		for t := range thresholdCount {
			c.Precision[r] += a.precision[t][r] / thresholdCount
		}
	}
	return c
}

func meanCurve(categories []CategoryMetrics) Curve {
	var to Curve
	at50, over := make([]mean, recallCount), make([]mean, recallCount)
	for _, c := range categories {
		for r := range c.Curve.Precision {
			at50[r].add(c.Curve.Precision50[r])
			over[r].add(c.Curve.Precision[r])
		}
	}
	if over[0].count == 0 {
		return to
	}
	for r := range recallCount {
		to.Precision50 = append(to.Precision50, at50[r].value())
		to.Precision = append(to.Precision, over[r].value())
	}
	return to
}
