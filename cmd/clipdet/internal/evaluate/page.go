package evaluate

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/report"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// page writes the report, with the pictures that have the most errors in its gallery.
func (f *outputs) page(ctx context.Context, n *Numbers, t *truth) error {
	page := report.Page{
		Title: "Evaluation on " + filepath.Base(t.path), Images: n.Images,
		Evaluation: n.evaluation, Proposals: n.Proposals, Analysis: n.Errors.Analysis,
	}
	if g := n.GroundTruth; g != nil {
		page.Accuracy = &report.Accuracy{Accuracy: g.Accuracy.Accuracy}
		for _, c := range t.Categories {
			page.Accuracy.Categories = append(page.Accuracy.Categories, c.ID)
		}
	}
	for _, s := range n.stages {
		page.Stages = append(page.Stages, report.Stage(s))
	}
	for _, name := range slices.Sorted(maps.Keys(n.Made)) {
		fact := report.Fact{Name: name, Value: n.Made[name]}
		if strings.HasPrefix(name, "--") {
			page.Flags = append(page.Flags, fact)
		} else {
			page.Facts = append(page.Facts, fact)
		}
	}
	if len(n.Failed) > 0 {
		page.Facts = append(page.Facts, report.Fact{Name: "could not be read", Value: fmt.Sprintf("%d pictures; the numbers are of the others", len(n.Failed))})
	}
	entries, err := f.entries(n)
	if err != nil {
		return err
	}
	return report.Write(ctx, f.html, page, entries, report.Options{})
}

// entries returns the entries of all images, those with the most errors first.
func (f *outputs) entries(n *Numbers) (iter.Seq2[report.Entry, error], error) {
	judged, err := report.NewEntries(n.dataset, n.Errors.Analysis)
	if err != nil {
		return nil, err
	}
	at := map[int64]int{} // index of the record by image id
	for i, r := range n.records {
		at[r.ID] = i
	}
	find := finder{dir: f.images}
	return func(yield func(report.Entry, error) bool) {
		for _, i := range report.WorstFirst(n.Errors.Analysis) {
			record := n.records[at[n.dataset.Images[i].ID]]
			entry, err := judged.Entry(i, n.reported)
			entry.Width, entry.Height = record.Width, record.Height
			for _, c := range record.Boxes {
				entry.Proposals = append(entry.Proposals, report.Proposal{Box: candidateBox(c), Objectness: c[4]})
			}
			if f.images != "" {
				path, missing := find.find(entry.File)
				// A picture that can no longer be read is shown as boxes only.
				entry.Picture, _ = intake.Decode(context.Background(), intake.Input{Path: path, Err: missing}, pixels.Limits{AsStored: n.Made["--ignore-exif"] == "true"})
			}
			if !yield(entry, err) || err != nil {
				return
			}
		}
	}, nil
}

// reported returns the detection with the given index in n.detections.
func (n *Numbers) reported(result int) report.Detection {
	at := n.found[result]
	d := n.records[at.record].Detections[at.detection]
	return report.Detection{
		Query: d.Query, Box: d.Box, Score: d.Score, Cosine: d.Cosine, Probability: d.Probability, Objectness: d.Objectness,
		Phrase: d.Phrase, RunnerUp: d.RunnerUp,
	}
}
