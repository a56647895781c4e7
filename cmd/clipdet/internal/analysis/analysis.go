// Package analysis finds what went wrong in an evaluation: the kinds of error of TIDE,
// why annotations were missed, and the accuracy of classification on ground-truth boxes.
package analysis

import (
	"cmp"
	"slices"

	"github.com/clipdet/clipdet/pkg/eval"
)

// Kind is the verdict on a detection or an annotation: correct, or one of the kinds of
// error of TIDE (Bolya, Foley, Hays, Hoffman: A General Toolbox for Identifying Object
// Detection Errors, ECCV 2020).
type Kind string

const (
	// Correct is a detection that matches an annotation of its category at IoU 0.5 or
	// more, and that annotation.
	Correct Kind = "correct"
	// Classification is a detection that overlaps an annotation of another
	// category at IoU 0.5 or more.
	Classification Kind = "classification"
	// Localisation is a detection that overlaps an annotation of its category
	// at IoU 0.1 to 0.5.
	Localisation Kind = "localisation"
	// Both is a detection that overlaps annotations only badly, and only annotations of
	// other categories: place and category are wrong.
	Both Kind = "both"
	// Duplicate is a detection of an object that a better detection matches.
	Duplicate Kind = "duplicate"
	// Background is a detection that overlaps no annotation at IoU above 0.1.
	Background Kind = "background"
	// Missed is an annotation that no detection matches, and that none would match if its
	// category or place were corrected.
	Missed Kind = "missed"
	// Ignored is a crowd, and a detection that counts neither for nor against: one in a
	// crowd of its category, or one of a category that isn't fully annotated in its
	// image. In a federated data set no annotation is a crowd.
	Ignored Kind = "ignored"
)

// The IoU thresholds of TIDE, and its limit of detections per image over all categories.
const (
	foreground    = 0.5
	background    = 0.1
	analysisLimit = 100
	// federatedLimit is the limit of LVIS.
	federatedLimit = 300
)

// Analysis is what went wrong and what it costs.
type Analysis struct {
	// AP50 is computed as in TIDE: at most 100 detections per image over all categories
	// count (federated: 300), and a category without ground truth counts as 0 if anything
	// is detected of it. It therefore differs from the AP50 of eval.Evaluate. It is -1 if
	// there are neither annotations nor detections.
	AP50 float64 `json:"AP50"`
	// Errors are the six kinds of TIDE, in its order.
	Errors []ErrorKind `json:"errors"`
	// FalsePositives is the AP50 that would be gained without any false positive.
	// FalseNegatives is the AP50 that would be gained if annotations without a match
	// didn't count. FalseNegatives may be negative, because a category that has nothing
	// else left counts as 0.
	FalsePositives float64 `json:"false_positives"`
	FalseNegatives float64 `json:"false_negatives"`
	// Confusions are the classification errors by their categories, the most frequent
	// first, then by ids.
	Confusions []Confusion `json:"confusions"`
	// Misses counts why annotations are unmatched. It is nil if no proposals were given.
	Misses *Misses `json:"misses,omitempty"`
	// Images has the verdicts on each image, in the order of the data set.
	Images []ImageVerdicts `json:"images"`
}

// ErrorKind is how often a kind of error occurs, and the AP50 that is gained if only
// these errors are fixed.
type ErrorKind struct {
	Kind  Kind    `json:"kind"`
	Count int     `json:"count"`
	DAP   float64 `json:"dAP"`
}

// Confusion is how often objects of one category were taken for another.
type Confusion struct {
	Predicted int64 `json:"predicted"` // category ids
	True      int64 `json:"true"`
	Count     int   `json:"count"`
}

// ImageVerdicts are the verdicts on one image.
type ImageVerdicts struct {
	ImageID int64 `json:"image_id"`
	// Detections has the best 100 (federated: 300), best first.
	Detections []DetectionVerdict `json:"detections"`
	// Annotations has all, in the order of the data set.
	Annotations []AnnotationVerdict `json:"annotations"`
}

// DetectionVerdict is the verdict on a detection.
type DetectionVerdict struct {
	Result int  `json:"result"` // index in the results
	Kind   Kind `json:"kind"`
	// Annotation is the index of the annotation that the verdict is about: the one that
	// the detection matches, would match, or overlaps most. It is -1 if the detection
	// overlaps none.
	Annotation int     `json:"annotation"`
	IoU        float64 `json:"iou"` // with that annotation
}

// AnnotationVerdict is the verdict on an annotation: Correct if a detection matches it,
// Classification or Localisation if one would match it if that were corrected, Ignored
// for a crowd, and Missed otherwise.
type AnnotationVerdict struct {
	Annotation int  `json:"annotation"` // index in the data set
	Kind       Kind `json:"kind"`
	// Result is the index of the detection that matches it, or of the detection with the
	// highest score that would match it. It is -1 if there is none.
	Result int `json:"result"`
	// Cause is why it is unmatched. It is empty if it is matched or ignored, or if no
	// proposals were given.
	Cause Cause `json:"cause,omitempty"`
}

// Analyse sorts detections and annotations into the kinds of TIDE. Its counts and gains
// are equal to the results of tidecv 1.0.1. proposals are the boxes that the detections
// were chosen from, of any category; nil means that they aren't known.
//
// In a federated data set, an unmatched detection is ignored if its category is neither
// annotated in the image nor known to be absent, or if it isn't annotated exhaustively.
//
// d and results must be valid for eval.Evaluate. Analyse fails with eval.ErrUnknown if an
// id isn't in d.
func Analyse(d *eval.Dataset, results, proposals []eval.Result) (*Analysis, error) {
	e, err := newData(d, results)
	if err != nil {
		return nil, err
	}
	cover, err := newCoverage(d, proposals)
	if err != nil {
		return nil, err
	}
	limit := analysisLimit
	ignored := func(position) bool { return false }
	if d.Federated {
		limit = federatedLimit
		judged, excused := e.federated()
		ignored = func(at position) bool { return !judged[at] || excused[at] }
	}
	truths, ranked := e.byImage()
	a := &analyser{data: e, base: newLedger(len(d.Categories)), lost: make(map[int32]int)}
	to := &Analysis{Images: make([]ImageVerdicts, len(d.Images))}
	for i := range d.Images {
		here := &scene{analyser: a, truths: truths[i], ranked: ranked[i][:min(len(ranked[i]), limit)]}
		here.match()
		here.ignore(ignored)
		here.judge()
		to.Images[i] = here.verdicts(d.Images[i].ID, cover)
	}
	to.AP50 = a.base.ap()
	to.Errors, to.FalsePositives, to.FalseNegatives = a.gains(to.AP50)
	to.Confusions = a.confusions()
	if cover != nil {
		to.Misses = misses(to.Images)
	}
	return to, nil
}

// analyser collects the faults and points of all images.
type analyser struct {
	*data
	base   *ledger
	faults []fault
	// lost counts the annotations without a match, by index of the category in d.
	lost map[int32]int
}

// confusions counts the classification errors by pair of categories.
func (a *analyser) confusions() []Confusion {
	counts := make(map[[2]int64]int)
	for _, f := range a.faults {
		if f.kind == Classification && !f.ignored {
			counts[[2]int64{a.results[f.result].CategoryID, a.d.Annotations[f.truth].CategoryID}]++
		}
	}
	list := []Confusion{}
	for pair, n := range counts {
		list = append(list, Confusion{pair[0], pair[1], n})
	}
	slices.SortFunc(list, func(x, y Confusion) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Predicted, y.Predicted), cmp.Compare(x.True, y.True))
	})
	return list
}
