package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// tolerance is the difference allowed to the reference implementations.
const tolerance = 1e-9

// golden reads a data set, results, and their golden values. testdata/README.md has their
// sources.
func golden(t *testing.T, name string, known any) (*Dataset, []Result) {
	t.Helper()
	d, err := ReadDatasetFile(filepath.Join("testdata", name+".dataset.json"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	results, err := ReadResultsFile(filepath.Join("testdata", name+".results.json"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join("testdata", name+".golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, known); err != nil {
		t.Fatal(err)
	}
	return d, results
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.12f, want %.12f", what, got, want)
	}
}

func nearAll(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		near(t, fmt.Sprintf("%s, value %d", what, i), got[i], want[i])
	}
}

func numbers(s Summary) []float64 {
	var list []float64
	for _, v := range s.values() {
		list = append(list, *v)
	}
	return list
}

func TestGoldenCOCO(t *testing.T) {
	var known struct {
		Summary               []float64
		Categories, Proposals [][]float64
		Curves                [][]float64
	}
	d, results := golden(t, "coco", &known)
	e, err := Evaluate(d, results)
	if err != nil {
		t.Fatal(err)
	}
	nearAll(t, "summary", numbers(e.Summary), known.Summary)
	for k, c := range e.Categories {
		nearAll(t, fmt.Sprintf("category %d", c.ID), numbers(c.Summary), known.Categories[k])
	}
	nearAll(t, "curve at 0.5", e.Curve.Precision50, known.Curves[0])
	nearAll(t, "curve", e.Curve.Precision, known.Curves[1])
	recalls, err := EvaluateProposals(d, results)
	if err != nil {
		t.Fatal(err)
	}
	for k, r := range recalls {
		nearAll(t, fmt.Sprintf("recall of %d proposals", r.Limit), []float64{r.AR, r.ARs, r.ARm, r.ARl, r.Recall50}, known.Proposals[k])
	}
}

func TestGoldenLVIS(t *testing.T) {
	var known struct {
		Summary map[string]float64
	}
	d, results := golden(t, "lvis", &known)
	if !d.Federated {
		t.Fatal("the data set isn't taken for a federated one")
	}
	e, err := Evaluate(d, results)
	if err != nil {
		t.Fatal(err)
	}
	s := e.Summary
	for name, got := range map[string]float64{
		"AP": s.AP, "AP50": s.AP50, "AP75": s.AP75, "APs": s.APs, "APm": s.APm, "APl": s.APl,
		"APr": s.APr, "APc": s.APc, "APf": s.APf, "AR@300": s.AR300, "ARs@300": s.ARs, "ARm@300": s.ARm, "ARl@300": s.ARl,
	} {
		want, ok := known.Summary[name]
		if !ok {
			t.Fatalf("nothing is known of %s", name)
		}
		near(t, name, got, want)
	}
}
