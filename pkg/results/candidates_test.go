package results

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
)

func TestCandidatesAndGivenBoxes(t *testing.T) {
	found := detect.Detection{Query: "dog", Box: box.Box{X1: 2, Y1: 2}, Score: 0.1}
	record := Record{
		Image: "a.png", Width: 3, Height: 2, Proposals: 2, Detections: []detect.Detection{found},
		Boxes: [][5]float32{{0.1, 0, 3, 2, 0.99999994}, {0, 0, 1e-7, 1, 0}},
		Given: []detect.Detection{found, found},
	}
	var file bytes.Buffer
	if err := NewJSONLWriter(&file).Write(record); err != nil {
		t.Fatal(err)
	}
	if want := `"boxes":[[0.1,0,3,2,0.99999994],[0,0,1e-7,1,0]],"given":[{"query":"dog"`; !strings.Contains(file.String(), want) {
		t.Errorf("the line is %s, want it to have %s", &file, want)
	}
	for line, err := range ReadJSONL(&file, Limits{}) {
		if err != nil || !reflect.DeepEqual(line.Record, record) {
			t.Errorf("got %+v (%v), want %+v", line.Record, err, record)
		}
	}
	whole := `{"image":"a","width":1,"height":1,"proposals":0,"detections":[],"timings_ms":{},`
	for _, rest := range []string{`"boxes":[[1,2,3,4]]}`, `"boxes":[[1,2,3,4,5,6]]}`, `"boxes":[[1,2,3,4,null]]}`, `"boxes":[[3,0,1,1,1]]}`, `"boxes":[[0,0,1,1,1e99]]}`,
		`"boxes":5}`, `"boxes":[null]}`, `"given":[{}]}`, `"given":5}`} {
		for _, err := range ReadJSONL(strings.NewReader(whole+rest+"\n"), Limits{}) {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%s: got %v, want ErrFormat", rest, err)
			}
		}
	}
	for _, bad := range []Record{
		{Image: "a", Boxes: [][5]float32{{0, 0, 1, 1, float32(math.NaN())}}},
		{Image: "a", Boxes: [][5]float32{{2, 0, 1, 1, 0}}},
		{Image: "a", Given: []detect.Detection{{Box: box.Box{X0: 1}}}},
	} {
		if err := NewJSONLWriter(&file).Write(bad); !errors.Is(err, ErrRecord) {
			t.Errorf("%+v: got %v, want ErrRecord", bad, err)
		}
	}
}
