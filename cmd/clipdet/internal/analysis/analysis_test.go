package analysis

import (
	"errors"
	"reflect"
	"testing"

	"github.com/clipdet/clipdet/pkg/eval"
)

// result returns a result in image 1.
func result(category int64, score float64, b eval.BBox) eval.Result {
	return eval.Result{ImageID: 1, CategoryID: category, BBox: b, Score: score}
}

// oneImage returns a data set with objects of category 1 in the first of two images.
func oneImage(boxes ...eval.BBox) *eval.Dataset {
	d := &eval.Dataset{Images: []eval.Image{{ID: 1}, {ID: 2}}, Categories: []eval.Category{{ID: 1, Name: "cat"}, {ID: 2, Name: "dog"}}}
	for i, b := range boxes {
		d.Annotations = append(d.Annotations, eval.Annotation{ID: int64(i + 1), ImageID: 1, CategoryID: 1, BBox: b, Area: b[2] * b[3]})
	}
	return d
}

func at(x float64) eval.BBox { return eval.BBox{x, 0, 10, 10} }

// pair returns a data set with an object of category 1 at 0 and one of category 2 far
// away.
func pair() *eval.Dataset {
	d := oneImage(at(0), at(100))
	d.Annotations[1].CategoryID = 2
	return d
}

func TestKindsByHand(t *testing.T) {
	crowd := pair()
	crowd.Annotations[1] = eval.Annotation{ID: 2, ImageID: 1, CategoryID: 1, BBox: eval.BBox{100, 0, 50, 50}, Area: 2500, Crowd: true}
	half := eval.BBox{0, 0, 4, 10} // IoU 0.4 with the object at 0
	tests := []struct {
		name       string
		d          *eval.Dataset
		results    []eval.Result
		detections []DetectionVerdict
		first      AnnotationVerdict // of the object at 0
	}{
		{"correct", pair(), []eval.Result{result(1, 1, at(0))},
			[]DetectionVerdict{{0, Correct, 0, 1}}, AnnotationVerdict{0, Correct, 0, ""}},
		{"wrong category", pair(), []eval.Result{result(2, 1, at(0))},
			[]DetectionVerdict{{0, Classification, 0, 1}}, AnnotationVerdict{0, Classification, 0, ""}},
		{"wrong place", pair(), []eval.Result{result(1, 1, half)},
			[]DetectionVerdict{{0, Localisation, 0, 0.4}}, AnnotationVerdict{0, Localisation, 0, ""}},
		{"both wrong", pair(), []eval.Result{result(2, 1, half)},
			[]DetectionVerdict{{0, Both, 0, 0.4}}, AnnotationVerdict{0, Missed, -1, ""}},
		{"duplicate", pair(), []eval.Result{result(1, 0.5, at(0)), result(1, 1, at(0))},
			[]DetectionVerdict{{1, Correct, 0, 1}, {0, Duplicate, 0, 1}}, AnnotationVerdict{0, Correct, 1, ""}},
		{"background", pair(), []eval.Result{result(1, 1, at(400))},
			[]DetectionVerdict{{0, Background, -1, 0}}, AnnotationVerdict{0, Missed, -1, ""}},
		{"nearly background", pair(), []eval.Result{result(2, 1, eval.BBox{0, 0, 1, 10})},
			[]DetectionVerdict{{0, Background, 0, 0.1}}, AnnotationVerdict{0, Missed, -1, ""}},
		{"nothing", pair(), nil, []DetectionVerdict{}, AnnotationVerdict{0, Missed, -1, ""}},
		{"in a crowd", crowd, []eval.Result{result(1, 1, at(110))},
			[]DetectionVerdict{{0, Ignored, -1, 0}}, AnnotationVerdict{0, Missed, -1, ""}},
		{"in a crowd of another category", crowd, []eval.Result{result(2, 1, at(110))},
			[]DetectionVerdict{{0, Background, -1, 0}}, AnnotationVerdict{0, Missed, -1, ""}},
		{"the better of two claims", pair(), []eval.Result{result(1, 0.5, half), result(2, 1, at(0))},
			[]DetectionVerdict{{1, Classification, 0, 1}, {0, Localisation, 0, 0.4}}, AnnotationVerdict{0, Classification, 1, ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := Analyse(test.d, test.results, nil)
			if err != nil {
				t.Fatal(err)
			}
			if a.Misses != nil {
				t.Errorf("misses %+v without proposals", a.Misses)
			}
			if got := a.Images[0].Detections; !reflect.DeepEqual(got, test.detections) {
				t.Errorf("detections are %+v, want %+v", got, test.detections)
			}
			if got := a.Images[0].Annotations[0]; got != test.first {
				t.Errorf("the object is %+v, want %+v", got, test.first)
			}
		})
	}
}

func TestGainsByHand(t *testing.T) {
	// Category 1 has a false positive before the match, AP 1/2. The object of category 2
	// was taken for category 1, AP 0.
	results := []eval.Result{result(1, 0.9, at(100)), result(1, 0.5, at(0))}
	a, err := Analyse(pair(), results, nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "AP50", a.AP50, 0.25)
	near(t, "gain of classification", a.Errors[0].DAP, 0.75)
	near(t, "gain without false positives", a.FalsePositives, 0.25)
	// Category 2 has nothing left, so the mean is the AP of category 1.
	near(t, "gain without false negatives", a.FalseNegatives, 0.25)
	if want := []Confusion{{Predicted: 1, True: 2, Count: 1}}; !reflect.DeepEqual(a.Confusions, want) {
		t.Errorf("confusions are %+v, want %+v", a.Confusions, want)
	}
	empty, err := Analyse(oneImage(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if empty.AP50 != -1 || empty.FalsePositives != 0 || len(empty.Errors) != 6 {
		t.Errorf("the analysis of nothing is %+v", empty)
	}
}

func TestMissesByHand(t *testing.T) {
	half, covering := eval.BBox{0, 0, 4, 10}, eval.BBox{0, 0, 9, 10}
	tests := []struct {
		name      string
		results   []eval.Result
		proposals []eval.Result
		want      Cause
	}{
		{"found", []eval.Result{result(1, 1, at(0))}, []eval.Result{}, ""},
		{"no proposal", nil, []eval.Result{}, ByProposal},
		{"no proposal covers it", nil, []eval.Result{result(0, 1, half)}, ByProposal},
		{"no proposal, whatever was reported", []eval.Result{result(1, 1, half)}, []eval.Result{result(0, 1, half)}, ByProposal},
		{"nothing reported", nil, []eval.Result{result(0, 1, half), result(0, 0, covering)}, ByRank},
		{"a worse one reported", []eval.Result{result(1, 1, half)}, []eval.Result{result(0, 1, half), result(0, 0, covering)}, ByLocalisation},
		{"another category reported", []eval.Result{result(2, 1, covering)}, []eval.Result{result(0, 0, covering)}, ByClassification},
	}
	for _, test := range tests {
		a, err := Analyse(pair(), test.results, test.proposals)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Images[0].Annotations[0].Cause; got != test.want {
			t.Errorf("%s: cause %q, want %q", test.name, got, test.want)
		}
		// The far object is never covered.
		count := map[Cause]int{ByProposal: a.Misses.ByProposal - 1, ByRank: a.Misses.ByRank, ByLocalisation: a.Misses.ByLocalisation, ByClassification: a.Misses.ByClassification}
		for cause, n := range count {
			if want := map[bool]int{true: 1}[cause == test.want]; n != want {
				t.Errorf("%s: %d missed by %s, want %d", test.name, n, cause, want)
			}
		}
	}
	if _, err := Analyse(pair(), nil, []eval.Result{{ImageID: 9}}); !errors.Is(err, eval.ErrUnknown) {
		t.Errorf("a proposal of an unknown image: %v", err)
	}
}

func TestFederatedAnalysis(t *testing.T) {
	d := pair()
	d.Federated = true
	d.Images[1].Negative = []int64{1}
	results := []eval.Result{{ImageID: 2, CategoryID: 1, BBox: at(0), Score: 1}, {ImageID: 2, CategoryID: 2, BBox: at(0), Score: 0.5}}
	a, err := Analyse(d, results, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []DetectionVerdict{{0, Background, -1, 0}, {1, Ignored, -1, 0}}
	if got := a.Images[1].Detections; !reflect.DeepEqual(got, want) {
		t.Errorf("detections are %+v, want %+v", got, want)
	}
}
