package calibration

import (
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func scoring() Scoring {
	return Scoring{
		Models: Models{"r", "i", "t"}, Rank: "fused", Proposals: 300, Crops: []Crop{{"clip", 1}, {"pad", 1.5}},
		Templates: []string{"a {}"}, Background: []string{"nothing"},
		Queries: []Query{{Name: "dog"}, {Name: "mug", Parts: []string{"a mug::1", "-a glass"}}},
	}
}

func made(t *testing.T, s Scoring) Calibration {
	t.Helper()
	c, err := New(s, 0.5, map[string][]float32{"dog": {0.3, 0.1, 0.2}, "mug": {0.5}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNew(t *testing.T) {
	hundred := make([]float32, 100)
	for i := range hundred {
		hundred[99-i] = float32(i) / 100
	}
	tests := []struct {
		name     string
		quantile float64
		scores   []float32
		above    float32 // the threshold is the next float32
	}{
		{"one picture", 0.5, []float32{0.25}, 0.25},
		{"the greatest of few", 0.99, []float32{0.1, 0.9, 0.5}, 0.9},
		{"one of a hundred above", 0.99, hundred, 0.98},
		{"ten of a hundred above", 0.9, hundred, 0.89},
		{"all below", 1, hundred, 0.99},
		{"the least", 1e-6, hundred, 0},
		{"equal ones", 0.5, []float32{0.5, 0.5, 0.5, 0.9}, 0.5},
		{"cosines", 1, []float32{-0.5, -0.2}, -0.2},
		{"next to 0", 1, []float32{-math.SmallestNonzeroFloat32}, 0},
	}
	for _, test := range tests {
		s := Scoring{Queries: []Query{{Name: "x"}}}
		c, err := New(s, test.quantile, map[string][]float32{"x": test.scores, "y": nil})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		want := Threshold{"x", math.Nextafter32(test.above, 2), len(test.scores)}
		if len(c.Thresholds) != 1 || c.Thresholds[0] != want {
			t.Errorf("%s: got %+v, want %+v", test.name, c.Thresholds, want)
		}
	}
	for name, test := range map[string]struct {
		quantile float64
		scores   []float32
	}{
		"no picture": {0.5, nil}, "quantile 0": {0, hundred}, "quantile 2": {2, hundred}, "quantile NaN": {math.NaN(), hundred},
		"a score that is no number": {1, []float32{float32(math.NaN())}}, "an infinite score": {1, []float32{float32(math.Inf(1))}},
	} {
		if c, err := New(Scoring{Queries: []Query{{Name: "x"}}}, test.quantile, map[string][]float32{"x": test.scores}); !errors.Is(err, ErrCalibration) {
			t.Errorf("%s: got %+v, %v; want ErrCalibration", name, c, err)
		}
	}
}

func TestFor(t *testing.T) {
	c := made(t, scoring())
	got, err := c.For(scoring())
	if want := map[string]float32{"dog": math.Nextafter32(0.2, 1), "mug": math.Nextafter32(0.5, 1)}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for name, test := range map[string]struct {
		change func(s *Scoring)
		says   string // "": the same
	}{
		"nothing":                  {func(*Scoring) {}, ""},
		"queries in another order": {func(s *Scoring) { s.Queries = []Query{s.Queries[1], s.Queries[0]} }, ""},
		"another RPN":              {func(s *Scoring) { s.Models.RPN = "x" }, "region proposal network: r, not x"},
		"another image tower":      {func(s *Scoring) { s.Models.Image = "x" }, "image tower"},
		"another text tower":       {func(s *Scoring) { s.Models.Text = "x" }, "text tower"},
		"each alone":               {func(s *Scoring) { s.Scores = "each" }, "--scores"},
		"another likeness":         {func(s *Scoring) { s.Alike = 0.5 }, "--alike: 0, not 0.5"},
		"another rank":             {func(s *Scoring) { s.Rank = "cosine" }, "rank: fused, not cosine"},
		"other proposals":          {func(s *Scoring) { s.Proposals = 10 }, "proposals: 300, not 10"},
		"other crops":              {func(s *Scoring) { s.Crops = s.Crops[:1] }, "crops"},
		"other templates":          {func(s *Scoring) { s.Templates = []string{"{}"} }, "templates"},
		"another background":       {func(s *Scoring) { s.Background = []string{} }, "background"},
		"empty templates":          {func(s *Scoring) { s.SubtractEmpty = true }, "empty templates: false, not true"},
		"a new query":              {func(s *Scoring) { s.Queries = append(s.Queries, Query{Name: "cat"}) }, `no query "cat"`},
		"a query less":             {func(s *Scoring) { s.Queries = s.Queries[:1] }, `the query "mug" too`},
		"another phrase":           {func(s *Scoring) { s.Queries[1].Parts = []string{"a cup::1"} }, `another query "mug"`},
	} {
		asked := scoring()
		test.change(&asked)
		got, err := c.For(asked)
		switch {
		case test.says == "" && (err != nil || len(got) != 2):
			t.Errorf("%s: got %v, %v", name, got, err)
		case test.says != "" && (!errors.Is(err, ErrCalibration) || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s: got %v, %v; want ErrCalibration that says %q", name, got, err, test.says)
		}
	}
	// A cosine depends only on its own query.
	s := scoring()
	s.Rank = "cosine"
	c = made(t, s)
	s.Queries, s.Background = s.Queries[:1], nil
	if got, err := c.For(s); err != nil || len(got) != 1 {
		t.Errorf("one query of two by cosine: got %v, %v", got, err)
	}
}

func TestRead(t *testing.T) {
	var out bytes.Buffer
	c := made(t, scoring())
	if err := c.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	got, err := Read(bytes.NewReader(out.Bytes()))
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("written and read again it is %+v, %v; want %+v", got, err, c)
	}
	text := out.String()
	for name, test := range map[string]struct{ old, new, says string }{
		"no JSON":             {text, "{", "not the JSON"},
		"nothing":             {text, "", "not the JSON"},
		"a list":              {text, "[]", "not the JSON"},
		"two":                 {text, text + text, "not the JSON"},
		"another version":     {`"version": 1`, `"version": 2`, "version 2"},
		"no version":          {`"version": 1,`, ``, "version 0"},
		"an unknown field":    {`"version": 1,`, `"version": 1, "x": 2,`, `"x"`},
		"a quantile of 0":     {`"quantile": 0.5`, `"quantile": 0`, "quantile"},
		"a threshold too far": {`"threshold": 0.50000006`, `"threshold": 1e39`, "threshold"},
		"a threshold of text": {`"threshold": 0.50000006`, `"threshold": "NaN"`, "threshold"},
		"a threshold of none": {`"threshold": 0.50000006,`, ``, "threshold 2 has no number"},
		"a threshold of null": {`"threshold": 0.50000006`, `"threshold": null`, "threshold 2 has no number"},
		"a threshold less":    {`"query": "dog"`, `"query": "cat"`, `"cat"`},
		"no queries":          {text, `{"version":1,"quantile":1}`, "no query"},
		"no thresholds":       {text, `{"version":1,"quantile":1,"scoring":{"queries":[{"name":"x"}]}}`, "0 thresholds"},
		"a query twice":       {`"mug"`, `"dog"`, "twice"},
	} {
		changed := strings.ReplaceAll(text, test.old, test.new)
		if changed == text {
			t.Errorf("%s: nothing was changed", name)
		}
		if _, err := Read(strings.NewReader(changed)); !errors.Is(err, ErrCalibration) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want ErrCalibration that says %q", name, err, test.says)
		}
	}
	if _, err := Read(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a reader that fails: got %v", err)
	}
	if _, err := Read(endless{}); !errors.Is(err, ErrCalibration) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a reader without end: got %v", err)
	}
	c.Quantile = math.NaN()
	if err := c.WriteJSON(io.Discard); !errors.Is(err, ErrCalibration) {
		t.Errorf("writing a quantile that is no number: got %v", err)
	}
}

// endless is a reader of spaces.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func FuzzRead(f *testing.F) {
	var out bytes.Buffer
	s := scoring()
	c, err := New(s, 0.5, map[string][]float32{"dog": {0.3}, "mug": {0.5}})
	if err == nil {
		err = c.WriteJSON(&out)
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	for _, seed := range []string{"", "{}", `{"version":1}`, `{"version":1,"quantile":1,"scoring":{"queries":[{"name":"x"}]},"thresholds":[{"query":"x","threshold":1e-50}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrCalibration) {
				t.Fatalf("Read(%q) failed with %v, want ErrCalibration", data, err)
			}
			return
		}
		var written bytes.Buffer
		if err := c.WriteJSON(&written); err != nil {
			t.Fatalf("%q was read as %+v, which can't be written: %v", data, c, err)
		}
		again, err := Read(&written)
		if err != nil || !reflect.DeepEqual(again.Thresholds, c.Thresholds) {
			t.Fatalf("%q was read as %+v; written and read again it is %+v, %v", data, c, again, err)
		}
		if got, err := again.For(c.Scoring); err != nil || len(got) != len(c.Thresholds) {
			t.Fatalf("%q isn't about its own scoring: %v, %v", data, got, err)
		}
	})
}
