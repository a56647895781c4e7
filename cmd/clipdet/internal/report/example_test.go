package report_test

import (
	"context"
	"fmt"
	"iter"
	"log"
	"os"
	"path/filepath"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/analysis"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/report"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/eval"
)

// Example keeps the detections of an evaluation and then shows the pictures with the most
// errors.
func Example() {
	dataset := &eval.Dataset{
		Images:      []eval.Image{{ID: 7, FileName: "scene-007.jpg", Width: 640, Height: 480}},
		Annotations: []eval.Annotation{{ID: 1, ImageID: 7, CategoryID: 1, BBox: eval.BBox{100, 100, 80, 60}, Area: 4800}},
		Categories:  []eval.Category{{ID: 1, Name: "owl"}, {ID: 2, Name: "boat"}},
	}
	found := []report.Detection{{Query: "owl", Box: box.Box{X0: 104, Y0: 98, X1: 182, Y1: 160}, Score: 0.9, Phrase: "a photo of a owl."}}
	results := []eval.Result{{ImageID: 7, CategoryID: 1, BBox: eval.FromBox(found[0].Box), Score: float64(found[0].Score)}}

	evaluation, err := eval.Evaluate(dataset, results)
	if err != nil {
		log.Fatal(err)
	}
	analysis, err := analysis.Analyse(dataset, results, nil)
	if err != nil {
		log.Fatal(err)
	}
	judged, err := report.NewEntries(dataset, analysis)
	if err != nil {
		log.Fatal(err)
	}
	var entries iter.Seq2[report.Entry, error] = func(yield func(report.Entry, error) bool) {
		for _, i := range report.WorstFirst(analysis) {
			entry, err := judged.Entry(i, func(result int) report.Detection { return found[result] })
			if err == nil {
				entry.Picture, err = decode(filepath.Join("../../../../testdata/scenes", entry.File))
			}
			if !yield(entry, err) || err != nil {
				return
			}
		}
	}
	dir, err := os.MkdirTemp("", "report")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	page := report.Page{Title: "One owl", Images: 1, Evaluation: evaluation, Analysis: analysis, Threshold: 0.3}
	if err := report.Write(context.Background(), dir, page, entries, report.Options{}); err != nil {
		log.Fatal(err)
	}
	files, err := filepath.Glob(dir + "/*/*.jpg")
	fmt.Println(len(files), "picture beside index.html", err)
	// Output: 1 picture beside index.html <nil>
}
