package eval

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
)

// oneImage returns a data set with objects of category 1 in image 1. Category 2 is empty.
func oneImage(boxes ...BBox) *Dataset {
	d := &Dataset{Images: []Image{{ID: 1}, {ID: 2}}, Categories: []Category{{ID: 1, Name: "cat"}, {ID: 2, Name: "dog"}}}
	for i, b := range boxes {
		d.Annotations = append(d.Annotations, Annotation{ID: int64(i + 1), ImageID: 1, CategoryID: 1, BBox: b, Area: b.area()})
	}
	return d
}

func found(score float64, b BBox) Result {
	return Result{ImageID: 1, CategoryID: 1, BBox: b, Score: score}
}

// at returns a square of side 10, whose IoU with at(0) is 10*(10-x)/(10*(10+x)).
func at(x float64) BBox { return BBox{x, 0, 10, 10} }

func TestSummaryByHand(t *testing.T) {
	far := BBox{500, 500, 10, 10}
	crowd := oneImage(at(0), BBox{100, 0, 200, 200})
	crowd.Annotations[1].Crowd = true
	zero := oneImage(at(0))
	zero.Annotations[0].ID = 0
	tests := []struct {
		name                  string
		d                     *Dataset
		results               []Result
		ap, ap50, ap75, small float64
		ar1, ar100            float64
	}{
		{"nothing to find", oneImage(), []Result{found(1, at(0))}, -1, -1, -1, -1, -1, -1},
		{"nothing found", oneImage(at(0)), nil, 0, 0, 0, 0, 0, 0},
		{"found", oneImage(at(0)), []Result{found(1, at(0))}, 1, 1, 1, 1, 1, 1},
		// Half the square has an IoU of exactly 0.5, the first of ten thresholds.
		{"IoU of a threshold", oneImage(at(0)), []Result{found(1, BBox{0, 0, 5, 10})}, 0.1, 1, 0, 0.1, 0.1, 0.1},
		{"IoU below it", oneImage(at(0)), []Result{found(1, BBox{0, 0, 4.999, 10})}, 0, 0, 0, 0, 0, 0},
		// The recall is 1 at precision 1/2.
		{"a false positive first", oneImage(at(0)), []Result{found(1, far), found(0.5, at(0))}, 0.5, 0.5, 0.5, 0.5, 0, 1},
		{"a false positive last", oneImage(at(0)), []Result{found(0.5, far), found(1, at(0))}, 1, 1, 1, 1, 1, 1},
		{"equal scores keep their order", oneImage(at(0)), []Result{found(1, far), found(1, at(0))}, 0.5, 0.5, 0.5, 0.5, 0, 1},
		{"a duplicate", oneImage(at(0)), []Result{found(1, at(0)), found(0.9, at(0))}, 1, 1, 1, 1, 1, 1},
		// A recall of 0.5 reaches 51 of 101 thresholds.
		{"one of two", oneImage(at(0), far), []Result{found(1, at(0))}, 51.0 / 101, 51.0 / 101, 51.0 / 101, 51.0 / 101, 0.5, 0.5},
		{"in a crowd", crowd, []Result{found(1, BBox{150, 50, 9, 9}), found(0.9, BBox{160, 60, 9, 9}), found(0.5, at(0))}, 1, 1, 1, 1, 0, 1},
		{"half out of a crowd", crowd, []Result{found(1, BBox{95, 50, 9.9, 9}), found(0.5, at(0))}, 0.5, 0.5, 0.5, 0.5, 0, 1},
		{"another image", oneImage(at(0)), []Result{{ImageID: 2, CategoryID: 1, BBox: at(0), Score: 1}}, 0, 0, 0, 0, 0, 0},
		{"another category", oneImage(at(0)), []Result{{ImageID: 1, CategoryID: 2, BBox: at(0), Score: 1}}, 0, 0, 0, 0, 0, 0},
		{"the id 0, as pycocotools has it", zero, []Result{found(1, at(0))}, 0, 0, 0, 0, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, err := Evaluate(test.d, test.results)
			if err != nil {
				t.Fatal(err)
			}
			s := e.Summary
			nearAll(t, "AP, AP50, AP75, APs, AR1, AR100", []float64{s.AP, s.AP50, s.AP75, s.APs, s.AR1, s.AR100},
				[]float64{test.ap, test.ap50, test.ap75, test.small, test.ar1, test.ar100})
			if s.APm != -1 {
				t.Errorf("APm is %v without any object of that size", s.APm)
			}
			if e.Categories[1].Summary.AP != -1 {
				t.Errorf("the empty category has the AP %v", e.Categories[1].Summary.AP)
			}
		})
	}
}

// TestBordersOfAreas checks that an object at a border belongs to the ranges on both
// sides.
func TestBordersOfAreas(t *testing.T) {
	tests := []struct {
		side                 float64
		small, medium, large bool
	}{{31.99, true, false, false}, {32, true, true, false}, {96, false, true, true}, {96.01, false, false, true}}
	for _, test := range tests {
		b := BBox{0, 0, test.side, test.side}
		e, err := Evaluate(oneImage(b), []Result{found(1, b)})
		if err != nil {
			t.Fatal(err)
		}
		s := e.Summary
		if got := [3]bool{s.APs > 0.999, s.APm > 0.999, s.APl > 0.999}; got != [3]bool{test.small, test.medium, test.large} {
			t.Errorf("side %v is small, medium, large: %v; APs %v, APm %v, APl %v", test.side, got, s.APs, s.APm, s.APl)
		}
	}
}

func TestDetectionsBeyondTheLimit(t *testing.T) {
	var results []Result
	for i := range 100 {
		results = append(results, found(1-float64(i)/1000, BBox{float64(20 * i), 100, 10, 10}))
	}
	d := oneImage(at(0))
	e, err := Evaluate(d, append(results, found(0.1, at(0))))
	if err != nil {
		t.Fatal(err)
	}
	if e.Summary.AP != 0 || e.Categories[0].Detections != 100 {
		t.Errorf("the 101st detection counts: AP %v of %d", e.Summary.AP, e.Categories[0].Detections)
	}
	recalls, err := EvaluateProposals(d, append(results, found(0.1, at(0))), 101, 100)
	if err != nil {
		t.Fatal(err)
	}
	if recalls[0].Limit != 100 || recalls[0].AR != 0 || recalls[1].AR != 1 {
		t.Errorf("recalls are %+v, want 0 with 100 and 1 with 101", recalls)
	}
}

func TestProposalsOfAnyCategory(t *testing.T) {
	proposals := []Result{{ImageID: 1, CategoryID: -7, BBox: at(0), Score: 0.5}}
	recalls, err := EvaluateProposals(oneImage(at(0)), proposals)
	if err != nil {
		t.Fatal(err)
	}
	if len(recalls) != 3 || recalls[0].AR != 1 || recalls[0].ARl != -1 {
		t.Errorf("recalls are %+v", recalls)
	}
	if _, err := EvaluateProposals(oneImage(), nil, 0); !errors.Is(err, ErrNumber) {
		t.Errorf("a limit of 0: error %v, want ErrNumber", err)
	}
}

func TestUnusableResults(t *testing.T) {
	d := oneImage(at(0))
	tests := []struct {
		name   string
		result Result
		want   error
	}{
		{"image", Result{ImageID: 9, CategoryID: 1}, ErrUnknown},
		{"category", Result{ImageID: 1, CategoryID: 9}, ErrUnknown},
		{"score", found(math.NaN(), at(0)), ErrNumber},
		{"infinite box", found(1, BBox{0, 0, math.Inf(1), 1}), ErrBBox},
		{"negative width", found(1, BBox{0, 0, -1, 1}), ErrBBox},
		{"overflow", found(1, BBox{0, 0, 1e200, 1e200}), ErrBBox},
	}
	for _, test := range tests {
		results := []Result{found(1, at(0)), test.result}
		_, err := Evaluate(d, results)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: Evaluate gives %v, want %v", test.name, err, test.want)
		}
	}
}

// TestSummaryInJSON checks that the numbers have pycocotools' names.
func TestSummaryInJSON(t *testing.T) {
	for _, test := range []struct {
		federated bool
		want      []string
	}{
		{false, []string{"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"}},
		{true, []string{"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl", "APr", "APc", "APf", "AR300"}},
	} {
		d := oneImage(at(0))
		d.Federated = test.federated
		e, err := Evaluate(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(e.Summary)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]float64
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		for _, name := range test.want {
			if _, ok := got[name]; !ok {
				t.Errorf("%s has no %s", data, name)
			}
		}
		if len(got) != len(test.want) {
			t.Errorf("%s has %d numbers, want %d", data, len(got), len(test.want))
		}
	}
}

func TestFederatedByHand(t *testing.T) {
	d := oneImage(at(0))
	d.Federated = true
	d.Categories[0].Frequency = "r"
	wrong := []Result{found(1, BBox{500, 0, 9, 9}), found(0.5, at(0))}
	unjudged := []Result{{ImageID: 2, CategoryID: 1, BBox: at(0), Score: 1}, found(0.5, at(0))}
	tests := []struct {
		name    string
		image   int // of d, replaced by change
		change  Image
		results []Result
		want    float64
	}{
		{"false positive", 0, Image{ID: 1}, wrong, 0.5},
		{"not exhaustive", 0, Image{ID: 1, NotExhaustive: []int64{1}}, wrong, 1},
		{"nothing known", 1, Image{ID: 2}, unjudged, 1},
		{"known to be absent", 1, Image{ID: 2, Negative: []int64{1}}, unjudged, 0.5},
	}
	for _, test := range tests {
		part := *d
		part.Images = slices.Clone(d.Images)
		part.Images[test.image] = test.change
		e, err := Evaluate(&part, test.results)
		if err != nil {
			t.Fatal(err)
		}
		nearAll(t, test.name+": AP, APr, APc", []float64{e.Summary.AP, e.Summary.APr, e.Summary.APc}, []float64{test.want, test.want, -1})
	}
}

func TestEvaluateIsRepeatable(t *testing.T) {
	d, results := randomSet(60, 7, 40)
	before := slices.Clone(results)
	first, err := Evaluate(d, results)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Evaluate(d, results)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first, again) {
		t.Error("the same input gives another evaluation")
	}
	if !slices.Equal(before, results) {
		t.Error("Evaluate changes the results")
	}
	if first.Summary.AP <= 0 || first.Summary.AP >= 1 {
		t.Errorf("AP is %v: the set shows nothing", first.Summary.AP)
	}
}

func TestSubset(t *testing.T) {
	d, _ := randomSet(5, 3, 1)
	part, err := d.Subset([]int64{4, 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(part.Images) != 2 || part.Images[0].ID != 2 || len(part.Categories) != 3 {
		t.Errorf("the subset has the images %v", part.Images)
	}
	for _, a := range part.Annotations {
		if a.ImageID != 2 && a.ImageID != 4 {
			t.Errorf("annotation %d is of image %d", a.ID, a.ImageID)
		}
	}
	if _, err := d.Subset([]int64{99}); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown image: %v", err)
	}
}
