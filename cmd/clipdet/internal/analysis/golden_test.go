package analysis

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/clipdet/clipdet/pkg/eval"
)

type tideGolden struct {
	AP50       float64
	Counts     map[string]int
	Gains      map[string]float64
	Special    map[string]float64
	Confusions map[string]int
}

// TestGolden compares with the numbers of TIDE for the golden data sets of pkg/eval.
func TestGolden(t *testing.T) {
	for _, name := range []string{"coco", "lvis"} {
		folder := "../../../../pkg/eval/testdata/"
		d, err := eval.ReadDatasetFile(folder+name+".dataset.json", eval.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		results, err := eval.ReadResultsFile(folder+name+".results.json", eval.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(folder + name + ".golden.json")
		if err != nil {
			t.Fatal(err)
		}
		var known struct{ TIDE tideGolden }
		if err := json.Unmarshal(data, &known); err != nil {
			t.Fatal(err)
		}
		checkTIDE(t, d, results, known.TIDE)
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-9) {
		t.Errorf("%s is %.12f, want %.12f", what, got, want)
	}
}

func checkTIDE(t *testing.T, d *eval.Dataset, results []eval.Result, known tideGolden) {
	t.Helper()
	a, err := Analyse(d, results, nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "TIDE's AP50", a.AP50, known.AP50)
	for i, name := range []string{"Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"} {
		if got := a.Errors[i]; got.Count != known.Counts[name] {
			t.Errorf("%d errors of kind %s, want %d", got.Count, got.Kind, known.Counts[name])
		}
		near(t, "gain of "+name, a.Errors[i].DAP, known.Gains[name])
	}
	near(t, "gain without false positives", a.FalsePositives, known.Special["FalsePos"])
	near(t, "gain without false negatives", a.FalseNegatives, known.Special["FalseNeg"])
	if len(a.Confusions) != len(known.Confusions) {
		t.Errorf("%d pairs of confused categories, want %d", len(a.Confusions), len(known.Confusions))
	}
	for _, c := range a.Confusions {
		if want := known.Confusions[fmt.Sprint(c.Predicted, c.True)]; c.Count != want {
			t.Errorf("%d was taken for %d %d times, want %d", c.True, c.Predicted, c.Count, want)
		}
	}
}
