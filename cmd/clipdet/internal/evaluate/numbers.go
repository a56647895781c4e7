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

// Numbers are the JSON of eval. Nothing in it depends on when or how fast it was measured.
type Numbers struct {
	*eval.Summary                        // under pycocotools' names
	Images        int                    `json:"images"` // that the numbers are of
	Failed        []failedImage          `json:"failed"` // and that they aren't of
	Proposals     []eval.ProposalRecall  `json:"proposals"`
	GroundTruth   *givenNumbers          `json:"gt_boxes,omitempty"`
	Errors        errorKinds             `json:"errors"`
	Categories    []eval.CategoryMetrics `json:"categories"`
	Curve         eval.Curve             `json:"curve"`
	Warnings      []string               `json:"warnings,omitempty"`
	Made          map[string]string      `json:"made_with"`

	dataset    *eval.Dataset // of the images that the numbers are of
	evaluation *eval.Evaluation
	detections []eval.Result
	found      []place // of each detection, where it is kept
	records    []results.Record
	stages     []stage
}

type failedImage struct {
	Image string `json:"image"`
	Error string `json:"error"`
}

// givenNumbers are with the boxes of the ground truth in the place of proposals.
type givenNumbers struct {
	Accuracy boxAccuracy   `json:"accuracy"`
	Summary  *eval.Summary `json:"summary"`
}

// boxAccuracy is an accuracy whose classes say which they are.
type boxAccuracy struct {
	*analysis.Accuracy
	Classes []classAccuracy `json:"classes"`
}

type classAccuracy struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	analysis.ClassAccuracy
}

// errorKinds leaves the verdicts on single images out of the JSON.
type errorKinds struct {
	*analysis.Analysis
	Images []analysis.ImageVerdicts `json:"images,omitempty"`
}

// stage is how long a stage of detection takes.
type stage struct {
	Name string
	MS   float64
}

// place is the place of a detection: in a record, and there.
type place struct{ record, detection int }

// measure takes records to numbers. Images without a record, and failed ones, aren't part of what is measured.
func measure(t *truth, images []eval.Image, records map[string]results.Record, made map[string]string) (*Numbers, error) {
	n := &Numbers{Failed: []failedImage{}, Made: made, Warnings: t.Warnings()}
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

// results are a list of detections of every record, in COCO's terms. It notes their places, where it is asked to.
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

// given measures what was found in the boxes of the ground truth.
func (n *Numbers) given(t *truth) (*givenNumbers, error) {
	most, err := strconv.Atoi(n.Made["--max-detections"])
	if err != nil || most < 1 {
		return nil, fmt.Errorf("the records say that --max-detections was %q, which is no number from 1 on", n.Made["--max-detections"])
	}
	// Behind so many of a record's given are the best of each box that are not among the best of all.
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
			if b := d.Box; len(at[b]) < topClasses {
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

// meanStages are the stages of an image, in order, in ms on average.
func meanStages(records []results.Record) []stage {
	stages := make([]stage, len(detect.Timings{}))
	for k := range stages {
		stages[k].Name = detect.Stage(k).String()
	}
	for _, r := range records {
		for k, took := range r.Timings {
			took = took.Truncate(time.Microsecond) // as they are kept
			stages[k].MS += took.Seconds() * 1e3 / float64(len(records))
		}
	}
	return stages
}

// candidateBox returns the box of one of a record's Boxes.
func candidateBox(c [5]float32) box.Box { return box.Box{X0: c[0], Y0: c[1], X1: c[2], Y1: c[3]} }
