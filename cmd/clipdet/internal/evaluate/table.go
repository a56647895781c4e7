package evaluate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/analysis"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/pkg/eval"
)

// tableRows is the number of confusions and of categories in the table. --json has all.
const tableRows = 5

// table returns the numbers in columns for people.
func (n *Numbers) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	// The last column is a comment. Numbers are shares.
	row := func(columns ...any) {
		for i, c := range columns {
			if v, ok := c.(float64); ok {
				c = fraction(v)
			}
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	}
	title := func(text string) {
		w.Flush()
		fmt.Fprintf(&b, "\n%s\n", text)
	}
	n.head(&b)
	for _, v := range summaryRows(n.Summary) {
		row(v.name, v.value, v.meaning)
	}
	title("What the proposals cover, whatever the category (pycocotools with useCats=0)")
	for _, p := range n.Proposals {
		row(fmt.Sprintf("AR@%d", p.Limit), p.AR, fmt.Sprintf("at IoU 0.50 %s; small %s, medium %s, large %s", fraction(p.Recall50), fraction(p.ARs), fraction(p.ARm), fraction(p.ARl)))
	}
	if g := n.GroundTruth; g != nil {
		title("With the boxes of the ground truth in the place of proposals")
		row("top-1", g.Accuracy.Top1, fmt.Sprintf("of %d boxes have their category's score the greatest; mean of categories %s", g.Accuracy.Boxes, fraction(g.Accuracy.MeanTop1)))
		row("top-5", g.Accuracy.Top5, "have it among the five greatest")
		row("AP", g.Summary.AP, fmt.Sprintf("AP50 %s", fraction(g.Summary.AP50)))
	}
	title(fmt.Sprintf("Errors, by TIDE's kinds, and the AP50 that is lost to each (of TIDE's AP50, %s)", fraction(n.Errors.AP50)))
	for _, e := range n.Errors.Errors {
		row(string(e.Kind), e.DAP, fmt.Sprintf("%d %s", e.Count, kindMeaning[e.Kind]))
	}
	row("false positives", n.Errors.FalsePositives, "all of them")
	row("false negatives", n.Errors.FalseNegatives, "all of them")
	if m := n.Errors.Misses; m != nil {
		title("Objects without a match, by what they were missed by")
		row("proposal", m.ByProposal, "no proposal covers them at IoU 0.5")
		row("localisation", m.ByLocalisation, "one does, but another that covers them less was reported")
		row("classification", m.ByClassification, "one does, and was reported as another category")
		row("rank", m.ByRank, "one does, and is not among what was reported")
	}
	n.confused(title, row)
	n.extremes(title, row)
	total := 0.0
	var stages []string
	for _, s := range n.stages {
		total += s.MS
		stages = append(stages, fmt.Sprintf("%s %.1f", s.Name, s.MS))
	}
	w.Flush()
	fmt.Fprintf(&b, "\nTime: %.1f ms a picture: %s\n", total, strings.Join(stages, ", "))
	return b.String()
}

func (n *Numbers) head(b *strings.Builder) {
	fmt.Fprintf(b, "%d images, %d annotations, %d categories", n.Images, len(n.dataset.Annotations), len(n.dataset.Categories))
	if n.dataset.Federated {
		b.WriteString(", not all annotated everywhere: LVIS's rules")
	}
	b.WriteString("\n")
	if failed := len(n.Failed); failed > 0 {
		fmt.Fprintf(b, "%d of %d images could not be read: the numbers are of the others, without what they show\n", failed, n.Images+failed)
	}
	for _, warning := range n.Warnings {
		fmt.Fprintf(b, "Note: %s\n", warning)
	}
	b.WriteString("\n")
}

// confused adds the pairs of categories that were confused most.
func (n *Numbers) confused(title func(string), row func(...any)) {
	if len(n.Errors.Confusions) == 0 {
		return
	}
	name := map[int64]string{}
	for _, c := range n.Categories {
		name[c.ID] = console.Printable(c.Name)
	}
	title("Confused most")
	for _, c := range n.Errors.Confusions[:min(len(n.Errors.Confusions), tableRows)] {
		row(c.Count, fmt.Sprintf("%s taken for %s", name[c.True], name[c.Predicted]))
	}
}

// extremes adds the categories with the greatest and the least AP.
func (n *Numbers) extremes(title func(string), row func(...any)) {
	var measured []eval.CategoryMetrics
	for _, c := range n.Categories {
		if c.Annotations > 0 {
			measured = append(measured, c)
		}
	}
	slices.SortStableFunc(measured, func(a, b eval.CategoryMetrics) int { return cmp.Compare(b.Summary.AP, a.Summary.AP) })
	list := func(text string, some []eval.CategoryMetrics) {
		title(text)
		for _, c := range some {
			row(console.Printable(c.Name), c.Summary.AP, fmt.Sprintf("AP50 %s, AR100 %s, %d annotations", fraction(c.Summary.AP50), fraction(c.Summary.AR100), c.Annotations))
		}
	}
	best := measured[:min(len(measured), tableRows)]
	list("Best categories, by AP", best)
	if rest := measured[len(best):]; len(rest) > 0 {
		worst := slices.Clone(rest[max(0, len(rest)-tableRows):])
		slices.Reverse(worst)
		list("Worst categories", worst)
	}
}

// fraction formats a share with three digits, and one that can't be measured as a dash.
func fraction(v float64) string {
	if v < 0 || math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.3f", v)
}

type summaryRow struct {
	name    string
	value   float64
	meaning string
}

// summaryRows returns the metrics under pycocotools' names, and LVIS's if there are any.
func summaryRows(s *eval.Summary) []summaryRow {
	rows := []summaryRow{
		{"AP", s.AP, "mean over IoU 0.50 to 0.95"}, {"AP50", s.AP50, "at IoU 0.50"}, {"AP75", s.AP75, "at IoU 0.75"},
		{"APs", s.APs, "objects up to 32 x 32 pixels"}, {"APm", s.APm, "up to 96 x 96"}, {"APl", s.APl, "larger"},
		{"AR1", s.AR1, "with 1 detection a picture and category"}, {"AR10", s.AR10, "with 10"}, {"AR100", s.AR100, "with 100"},
		{"ARs", s.ARs, "objects up to 32 x 32 pixels"}, {"ARm", s.ARm, "up to 96 x 96"}, {"ARl", s.ARl, "larger"},
	}
	if f := s.FederatedSummary; f != nil {
		rows = append(rows, summaryRow{"APr", f.APr, "rare categories"}, summaryRow{"APc", f.APc, "common ones"},
			summaryRow{"APf", f.APf, "frequent ones"}, summaryRow{"AR300", f.AR300, "with 300 detections a picture"})
	}
	return rows
}

var kindMeaning = map[analysis.Kind]string{
	analysis.Classification: "detections on an object of another category",
	analysis.Localisation:   "on an object of theirs, at IoU 0.1 to 0.5",
	analysis.Both:           "badly on one of another category",
	analysis.Duplicate:      "of an object that a better one has found",
	analysis.Background:     "on nothing",
	analysis.Missed:         "objects that no detection is about",
}
