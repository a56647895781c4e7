package evaluate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/analysis"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/results"
)

// Numbers is the JSON that eval writes. It doesn't depend on when or how fast it was
// measured.
type Numbers struct {
	*eval.Summary                        // named as in pycocotools
	Images        int                    `json:"images"` // that were measured
	Failed        []failedImage          `json:"failed"` // that were not
	Proposals     []eval.ProposalRecall  `json:"proposals"`
	GroundTruth   *givenNumbers          `json:"gt_boxes,omitempty"`
	Errors        errorKinds             `json:"errors"`
	Categories    []eval.CategoryMetrics `json:"categories"`
	Curve         eval.Curve             `json:"curve"`
	Warnings      []string               `json:"warnings,omitempty"`
	Made          map[string]string      `json:"made_with"`

	dataset    *eval.Dataset // of the measured images
	evaluation *eval.Evaluation
	detections []eval.Result
	found      []place // places of the detections
	records    []results.Record
	stages     []stage
}

type failedImage struct {
	Image string `json:"image"`
	Error string `json:"error"`
}

// givenNumbers are measured with the boxes of the ground truth as the proposals.
type givenNumbers struct {
	Accuracy boxAccuracy   `json:"accuracy"`
	Summary  *eval.Summary `json:"summary"`
}

// boxAccuracy is an accuracy with the id and name of each class.
type boxAccuracy struct {
	*analysis.Accuracy
	Classes []classAccuracy `json:"classes"`
}

type classAccuracy struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	analysis.ClassAccuracy
}

// errorKinds is an analysis without the verdicts on single images in its JSON: its own
// empty Images hides Analysis.Images.
type errorKinds struct {
	*analysis.Analysis
	Images []analysis.ImageVerdicts `json:"images,omitempty"`
}

// stage is the mean time of a stage of detection per picture, in ms.
type stage struct {
	Name string
	MS   float64
}

// place is a record's index and a detection's index in that record.
type place struct{ record, detection int }

// measure returns the numbers of the images' records. An image whose record has an error
// is left out and listed in Failed. An image without a record is an error. If no image is
// left, nothing is measured.
func measure(t *truth, images []eval.Image, records map[string]results.Record, made map[string]string) (*Numbers, error) {
	n := &Numbers{Failed: []failedImage{}, Made: made, Warnings: t.warnings()}
	var ids []int64
	for _, image := range images {
		record, ok := records[image.FileName]
		switch {
		case !ok:
			return nil, fmt.Errorf("there is no record of %s", image.FileName)
		case record.Error != "":
			n.Failed = append(n.Failed, failedImage{image.FileName, record.Error})
			continue
		}
		record.ID = image.ID
		ids, n.records = append(ids, image.ID), append(n.records, record)
	}
	n.Images = len(ids)
	if n.Images == 0 {
		return n, nil
	}
	var err error
	if n.dataset, err = t.Subset(ids); err != nil {
		return nil, err
	}
	n.detections, err = n.results(t, func(r *results.Record) []detect.Detection { return r.Detections }, &n.found)
	if err != nil {
		return nil, err
	}
	if n.evaluation, err = eval.Evaluate(n.dataset, n.detections); err != nil {
		return nil, err
	}
	n.Summary, n.Categories, n.Curve = &n.evaluation.Summary, n.evaluation.Categories, n.evaluation.Curve
	proposals := n.proposals()
	if n.Proposals, err = eval.EvaluateProposals(n.dataset, proposals); err != nil {
		return nil, err
	}
	if n.Errors.Analysis, err = analysis.Analyse(n.dataset, n.detections, proposals); err != nil {
		return nil, err
	}
	if made["--gt-boxes"] == "true" {
		if n.GroundTruth, err = n.given(t); err != nil {
			return nil, err
		}
	}
	n.stages = meanStages(n.records)
	return n, nil
}

// results returns the detections that list selects from each record, in COCO's form. If
// places isn't nil, it also appends the place of each.
func (n *Numbers) results(t *truth, list func(*results.Record) []detect.Detection, places *[]place) ([]eval.Result, error) {
	all := []eval.Result{}
	for i := range n.records {
		r := &n.records[i]
		for k, d := range list(r) {
			category, err := t.asks(r.Image, d.Query)
			if err != nil {
				return nil, err
			}
			all = append(all, eval.Result{ImageID: r.ID, CategoryID: category, BBox: eval.FromBox(d.Box), Score: float64(d.Score)})
			if places != nil {
				*places = append(*places, place{i, k})
			}
		}
	}
	return all, nil
}

func (n *Numbers) proposals() []eval.Result {
	all := []eval.Result{}
	for i := range n.records {
		for _, c := range n.records[i].Boxes {
			all = append(all, eval.Result{ImageID: n.records[i].ID, BBox: eval.FromBox(candidateBox(c)), Score: float64(c[4])})
		}
	}
	return all
}

// given returns the numbers for the detections in the boxes of the ground truth.
func (n *Numbers) given(t *truth) (*givenNumbers, error) {
	most, err := strconv.Atoi(n.Made["--max-detections"])
	if err != nil || most < 1 {
		return nil, fmt.Errorf("the records say that --max-detections was %q, which is no number from 1 on", n.Made["--max-detections"])
	}
	// The first most of a record's Given are the best of all boxes. Those after them were
	// kept only for the best classes of each box.
	detections, err := n.results(t, func(r *results.Record) []detect.Detection { return r.Given[:min(len(r.Given), most)] }, nil)
	if err != nil {
		return nil, err
	}
	evaluation, err := eval.Evaluate(n.dataset, detections)
	if err != nil {
		return nil, err
	}
	class := map[int64]int{}
	for k, c := range t.Categories {
		class[c.ID] = k
	}
	var best [][]int
	var right []int
	for i := range n.records {
		r := &n.records[i]
		at := map[box.Box][]int{}
		for _, d := range r.Given {
			category, err := t.asks(r.Image, d.Query)
			if err != nil {
				return nil, err
			}
			if b := d.Box; len(at[b]) < analysis.TopClasses {
				at[b] = append(at[b], class[category])
			}
		}
		for _, k := range t.objects[r.ID] {
			a := t.Annotations[k]
			best, right = append(best, at[a.BBox.Box()]), append(right, class[a.CategoryID])
		}
	}
	accuracy, err := analysis.BoxAccuracy(best, len(t.Categories), right)
	if err != nil {
		return nil, fmt.Errorf("the boxes of the ground truth: %w", err)
	}
	g := &givenNumbers{Accuracy: boxAccuracy{Accuracy: accuracy}, Summary: &evaluation.Summary}
	for k, c := range t.Categories {
		g.Accuracy.Classes = append(g.Accuracy.Classes, classAccuracy{c.ID, c.Name, accuracy.Classes[k]})
	}
	slices.SortStableFunc(g.Accuracy.Classes, func(a, b classAccuracy) int { return cmp.Compare(a.ID, b.ID) })
	return g, nil
}

// meanStages returns the mean time of each stage per record, in order, in ms.
func meanStages(records []results.Record) []stage {
	stages := make([]stage, len(detect.Timings{}))
	for k := range stages {
		stages[k].Name = detect.Stage(k).String()
	}
	for _, r := range records {
		for k, took := range r.Timings {
			took = took.Truncate(time.Microsecond) // as in the file of records
			stages[k].MS += took.Seconds() * 1e3 / float64(len(records))
		}
	}
	return stages
}

// candidateBox returns the box of an element of Record.Boxes.
func candidateBox(c [5]float32) box.Box { return box.Box{X0: c[0], Y0: c[1], X1: c[2], Y1: c[3]} }
