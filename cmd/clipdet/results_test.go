package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
)

// outcomes are a picture with two detections, one that failed, and one with none.
func outcomes() []outcome {
	found := &detect.Result{
		Width: 640, Height: 480, Proposals: make([]detect.Proposal, 300),
		Detections: []detect.Detection{
			{Query: "dog", Box: box.Box{X0: 1, Y0: 2.5, X1: 11, Y1: 22.5}, Score: 0.75, Cosine: 0.25, Probability: 0.5, Objectness: 0.125, Phrase: "a <dog> & \"cat\", or so", RunnerUp: "bike"},
			{Query: "bike", Box: box.Box{X0: 0, Y0: 0, X1: 640, Y1: 480}, Score: 0.5, Cosine: -0.5, Probability: 1, Objectness: 1, Phrase: "a bike"},
		},
		Timings: detect.Timings{RPN: 1500 * time.Microsecond},
	}
	return []outcome{
		{path: "a & b.png", imageID: 139, result: found},
		{path: "broken.png", imageID: 7, err: errors.New("it is <broken>")},
		{path: "none.png", imageID: 9, result: &detect.Result{Width: 2, Height: 1}},
	}
}

const (
	goldenFound = `{"image":"a & b.png","width":640,"height":480,"proposals":300,"detections":[LEAD` +
		`{"query":"dog","box":[1,2.5,11,22.5],"score":0.75,"cosine":0.25,"probability":0.5,"objectness":0.125,"phrase":"a <dog> & \"cat\", or so","runner_up":"bike"},LEAD` +
		`{"query":"bike","box":[0,0,640,480],"score":0.5,"cosine":-0.5,"probability":1,"objectness":1,"phrase":"a bike","runner_up":""}` +
		`],"timings_ms":{"upload":0,"rpn":1.5,"crop":0,"encode":0,"rank":0,"download":0}}`
	goldenError = `{"image":"broken.png","error":"it is <broken>"}`
	goldenNone  = `{"image":"none.png","width":2,"height":1,"proposals":0,"detections":[],"timings_ms":{"upload":0,"rpn":0,"crop":0,"encode":0,"rank":0,"download":0}}`
)

func TestResultFormats(t *testing.T) {
	lead := func(s, lead string) string { return string(bytes.ReplaceAll([]byte(s), []byte("LEAD"), []byte(lead))) }
	all := outcomes()
	tests := []struct {
		format   string
		list     bool
		outcomes []outcome
		want     string
	}{
		{"json", false, all[:1], lead(goldenFound, "\n  ") + "\n"},
		{"json", false, all[1:2], goldenError + "\n"},
		{"json", true, all, "[\n" + lead(goldenFound, "\n  ") + ",\n" + goldenError + ",\n" + goldenNone + "\n]\n"},
		{"json", true, all[:0], "[]\n"},
		{"jsonl", true, all, lead(goldenFound, "") + "\n" + goldenError + "\n" + goldenNone + "\n"},
		{"coco", true, all, `[
{"image_id":139,"category_id":1,"bbox":[1,2.5,10,20],"score":0.75},
{"image_id":139,"category_id":2,"bbox":[0,0,640,480],"score":0.5}
]
`},
		{"coco", false, all[1:], "[]\n"},
		{"csv", true, all, `image,query,x0,y0,x1,y1,score,cosine,probability,objectness,phrase,runner_up
a & b.png,dog,1,2.5,11,22.5,0.75,0.25,0.5,0.125,"a <dog> & ""cat"", or so",bike
a & b.png,bike,0,0,640,480,0.5,-0.5,1,1,a bike,
`},
	}
	for _, test := range tests {
		var got bytes.Buffer
		w, err := newResultWriter(test.format, &got, test.list, []string{"dog", "bike"})
		if err != nil {
			t.Errorf("%s: %v", test.format, err)
			continue
		}
		for _, o := range test.outcomes {
			err = errors.Join(err, w.write(o))
		}
		if err = errors.Join(err, w.close()); err != nil {
			t.Errorf("%s: %v", test.format, err)
		}
		if got.String() != test.want {
			t.Errorf("%s, list %v, %d outcomes: got\n%s\nwant\n%s", test.format, test.list, len(test.outcomes), got.String(), test.want)
		}
		if (test.format == "json" || test.format == "coco") && !json.Valid(got.Bytes()) {
			t.Errorf("%s: not JSON:\n%s", test.format, got.String())
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestResultWritersReportWriteErrors(t *testing.T) {
	for _, format := range []string{"json", "jsonl", "coco", "csv"} {
		w, err := newResultWriter(format, brokenPipe{}, true, []string{"dog", "bike"})
		if err == nil {
			err = w.write(outcomes()[0])
		}
		if err == nil {
			t.Errorf("%s: no error when writing fails", format)
		}
	}
}
