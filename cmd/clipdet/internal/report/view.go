package report

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/analysis"
	"github.com/clipdet/clipdet/pkg/eval"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var style string

//go:embed page.js
var script string

// view is the data of page.html.
type view struct {
	Page
	Marker     template.HTML
	Style      template.CSS
	ScriptHash string
	Metrics    []metric
	Federated  []metric
	Sizes      []sizeRow
	Errors     []errorRow
	Misses     []bar
	Confusions []confusionRow
	MorePairs  int
	Stages     []bar
	Total      float64
	Categories []categoryRow
	Gallery    bool
	Side       int
	Proposed   int
}

type metric struct {
	Name, Meaning string
	Value         float64
}

// sizeRow is the metrics of objects of one size.
type sizeRow struct {
	Name   string
	AP, AR float64
}

type errorRow struct {
	analysis.ErrorKind
	Meaning string
	Share   float64 // share of the greatest dAP
}

// bar is a line of a chart.
type bar struct {
	Name, Meaning string
	Value, Share  float64
}

type confusionRow struct {
	Predicted, True string
	Count           int
	Share           float64 // share of the greatest count
}

type categoryRow struct {
	eval.CategoryMetrics
	Index       int
	Top1        float64
	HasAccuracy bool
}

// shownConfusions is the number of pairs that are listed.
const shownConfusions = 20

var meanings = map[analysis.Kind]string{
	analysis.Classification: "overlaps an object of another category",
	analysis.Localisation:   "overlaps an object of its category, at IoU 0.1 to 0.5",
	analysis.Both:           "overlaps only badly, and an object of another category",
	analysis.Duplicate:      "a better detection has found the object",
	analysis.Background:     "overlaps no object",
	analysis.Missed:         "an object that no detection is about",
}

func (p *Page) view(o Options) (*view, error) {
	if p.Evaluation == nil {
		return nil, fmt.Errorf("%w: a page without an evaluation", ErrContent)
	}
	if a := p.Accuracy; a != nil && (a.Accuracy == nil || len(a.Categories) != len(a.Classes)) {
		return nil, fmt.Errorf("%w: the accuracy needs the category of each of its classes", ErrContent)
	}
	hash := sha256.Sum256([]byte(script))
	v := &view{
		Page: *p, Marker: marker, Style: template.CSS(style), //nolint:gosec // both are of this package
		ScriptHash: base64.StdEncoding.EncodeToString(hash[:]),
		Gallery:    o.Pictures > 0, Side: o.Side, Proposed: DrawnProposals,
	}
	v.Title = cmp.Or(p.Title, "Evaluation")
	v.metrics()
	v.analysis()
	for _, s := range p.Stages {
		if !finite(s.MS) || s.MS < 0 {
			return nil, fmt.Errorf("%w: stage %q takes %v ms", ErrContent, s.Name, s.MS)
		}
		v.Total += s.MS
	}
	for _, s := range p.Stages {
		v.Stages = append(v.Stages, bar{Name: s.Name, Value: s.MS, Share: s.MS / max(v.Total, math.SmallestNonzeroFloat64)})
	}
	v.categories()
	return v, nil
}

func (v *view) metrics() {
	s := v.Evaluation.Summary
	const mean = "mean over IoU 0.50 to 0.95"
	v.Metrics = []metric{
		{"AP", "average precision, " + mean, s.AP},
		{"AP50", "average precision at IoU 0.50", s.AP50},
		{"AP75", "average precision at IoU 0.75", s.AP75},
		{"APs", "AP of objects up to 32 x 32 pixels", s.APs},
		{"APm", "AP of objects of 32 x 32 to 96 x 96 pixels", s.APm},
		{"APl", "AP of objects from 96 x 96 pixels", s.APl},
		{"AR1", "recall with 1 detection per image and category, " + mean, s.AR1},
		{"AR10", "recall with 10 detections per image and category, " + mean, s.AR10},
		{"AR100", "recall with 100 detections per image and category, " + mean, s.AR100},
		{"ARs", "recall of objects up to 32 x 32 pixels", s.ARs},
		{"ARm", "recall of objects of 32 x 32 to 96 x 96 pixels", s.ARm},
		{"ARl", "recall of objects from 96 x 96 pixels", s.ARl},
	}
	if f := s.FederatedSummary; f != nil {
		v.Federated = []metric{
			{"APr", "AP of rare categories", f.APr},
			{"APc", "AP of common categories", f.APc},
			{"APf", "AP of frequent categories", f.APf},
			{"AR300", "recall with 300 detections per image, " + mean, f.AR300},
		}
	}
	v.Sizes = []sizeRow{
		{"small (up to 32²)", s.APs, s.ARs}, {"medium (32² to 96²)", s.APm, s.ARm},
		{"large (from 96²)", s.APl, s.ARl}, {"all", s.AP, s.AR100},
	}
}

func (v *view) analysis() {
	a := v.Analysis
	if a == nil {
		return
	}
	most := math.SmallestNonzeroFloat64
	for _, e := range a.Errors {
		most = max(most, e.DAP)
	}
	for _, e := range a.Errors {
		v.Errors = append(v.Errors, errorRow{e, meanings[e.Kind], e.DAP / most})
	}
	if m := a.Misses; m != nil {
		all := float64(max(1, m.ByProposal+m.ByRank+m.ByLocalisation+m.ByClassification))
		for _, b := range []bar{
			{Name: "proposal", Meaning: "no proposal covers the object at IoU 0.5", Value: float64(m.ByProposal)},
			{Name: "rank", Meaning: "a proposal covers it, but isn't among the detections", Value: float64(m.ByRank)},
			{Name: "localisation", Meaning: "a proposal covers it, but a worse one was reported", Value: float64(m.ByLocalisation)},
			{Name: "classification", Meaning: "a proposal covers it, but under another name", Value: float64(m.ByClassification)},
		} {
			b.Share = b.Value / all
			v.Misses = append(v.Misses, b)
		}
	}
	called := make(map[int64]string)
	for _, c := range v.Evaluation.Categories {
		called[c.ID] = c.Name
	}
	for _, c := range a.Confusions[:min(len(a.Confusions), shownConfusions)] {
		share := float64(c.Count) / float64(a.Confusions[0].Count)
		v.Confusions = append(v.Confusions, confusionRow{called[c.Predicted], called[c.True], c.Count, share})
	}
	v.MorePairs = len(a.Confusions) - len(v.Confusions)
}

func (v *view) categories() {
	top1 := make(map[int64]float64)
	if v.Accuracy != nil {
		for i, id := range v.Accuracy.Categories {
			top1[id] = v.Accuracy.Classes[i].Top1
		}
	}
	for i, c := range v.Evaluation.Categories {
		row := categoryRow{c, i, -1, v.Accuracy != nil}
		if value, ok := top1[c.ID]; ok {
			row.Top1 = value
		}
		v.Categories = append(v.Categories, row)
	}
}

var formats = template.FuncMap{
	"metric": func(value float64) string {
		if value < 0 {
			return "–"
		}
		return strconv.FormatFloat(value, 'f', 3, 64)
	},
	"percent": func(share float64) string { return strconv.FormatFloat(100*min(max(share, 0), 1), 'f', 1, 64) + "%" },
	"ms":      func(value float64) string { return strconv.FormatFloat(value, 'f', 1, 64) },
}

// entriesTag begins the lines of the entries.
const entriesTag = `<script type="application/x-ndjson" id="entries">` + "\n"

// write writes everything before the entries.
func (v *view) write(w io.Writer) error {
	page, err := template.New("page").Funcs(formats).Parse(pageSource)
	if err != nil {
		return err
	}
	if err := page.Execute(w, v); err != nil {
		return err
	}
	_, err = io.WriteString(w, entriesTag)
	return err
}

// pageData is what page.js reads besides the entries.
type pageData struct {
	Names     []string `json:"names"` // texts by their numbers
	Threshold float64  `json:"threshold"`
	// Low and High are the range of the scores, which at least covers [0,1].
	Low     float64     `json:"low"`
	High    float64     `json:"high"`
	Images  int         `json:"images"`
	Entries int         `json:"entries"`
	Mean    curveJSON   `json:"mean"`
	Curves  []curveJSON `json:"curves"` // by category, in table order
}

// curveJSON is precisions in thousandths, at recalls of 0.00, 0.01 to 1.00. It is empty
// without ground truth.
type curveJSON struct {
	At50 []int `json:"at50"`
	Mean []int `json:"mean"`
}

func curveOf(c eval.Curve) curveJSON {
	thousandths := func(values []float64) []int {
		list := make([]int, len(values))
		for i, v := range values {
			list[i] = int(math.Round(1000 * v))
		}
		return list
	}
	return curveJSON{thousandths(c.Precision50), thousandths(c.Precision)}
}

// end writes what follows the entries: the data that is only known at the end, and the
// script.
func (w *writer) end(p *Page) error {
	data := pageData{
		Names: w.names.list, Threshold: p.Threshold, Low: fraction(min(w.low, 0)), High: fraction(max(w.high, 1)),
		Images: p.Images, Entries: w.written, Mean: curveOf(p.Evaluation.Curve),
	}
	for _, c := range p.Evaluation.Categories {
		data.Curves = append(data.Curves, curveOf(c.Curve))
	}
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrContent, err)
	}
	_, err = fmt.Fprintf(w.out, "</script>\n<script type=\"application/json\" id=\"data\">%s</script>\n<script>%s</script>\n</body>\n</html>\n", text, script)
	return err
}
