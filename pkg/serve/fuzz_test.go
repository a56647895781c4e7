package serve

import (
	"errors"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// limits are those of the fuzz targets.
var limits = Options{Queries: 5, Phrases: 20, Pictures: 3, Bytes: 1 << 20}

// refused checks that an error is one of those that a parser may give.
func refused(t *testing.T, err error) {
	t.Helper()
	for _, of := range []error{ErrRequest, detect.ErrQuery, detect.ErrLimit, prompt.ErrTooLong, prompt.ErrUTF8} {
		if errors.Is(err, of) {
			return
		}
	}
	t.Errorf("an unknown error: %v", err)
}

// check checks what a parser takes: it is within the limits, and the detector takes it.
func (a asked) checkTaken(t *testing.T) {
	t.Helper()
	if n := len(a.queries); n < 1 || n > limits.Queries {
		t.Errorf("%d queries, want 1 to %d", n, limits.Queries)
	}
	for _, q := range a.queries {
		if len(q.Examples) > 0 {
			t.Errorf("an example: %+v", q)
		}
	}
	p := a.params
	if !(p.Threshold >= -1 && p.Threshold <= 1) || p.TopK < 0 || p.Best < 0 || !(p.NMS >= 0 && p.NMS <= 1) || !(p.MinSize >= 0) ||
		p.Tile < detect.TileAuto || p.Tile > 0 && p.Tile < 32 || p.MaxDetections != 0 {
		t.Errorf("out of range: %+v", p)
	}
	if a.name == "" || len(a.name) > maxText {
		t.Errorf("the name is %q", a.name)
	}
	// The detector's own checks may refuse the texts, by its known errors.
	if err := (detect.Options{}).Check(a.queries...); err != nil {
		refused(t, err)
	}
}

func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		"q=owl&q=bike%3Da+bicycle|-a+car::2&threshold=0.5", "q=a&top_k=2&best=3&rank=cosine&scores=each&nms=1&nms_agnostic=true", "q=a&tile=auto&tile_overlap=0.3&boxes=1",
		"q=a&soft_nms=0.5&box_voting=0.5&contained=0.9&min_size=1&max_size=1e3&name=x.jpg", "q=@a", "q=a=@/etc/passwd", "q=%ff", "q=a;b", "queries=[]", "q=a&threshold=NaN",
		"q=a&top_k=1e999", "q=a&tile=\"auto\"", "name=", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := fromURL(text, detectFields, limits)
		if err != nil {
			refused(t, err)
			return
		}
		a.checkTaken(t)
	})
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"queries":["owl","bike=a bicycle|a bike::2|-a car",{"name":"a","phrases":["b","c"],"weights":[1,2],"negatives":["d"]}],"threshold":0.5,"thresholds":{"owl":0.7}}`,
		`{"queries":["a"],"top_k":2.0,"best":0,"rank":"mean","scores":"together","nms":0.5,"nms_agnostic":true,"boxes":false}`,
		`{"queries":["a"],"tile":"auto","tile_overlap":0.2}`, `{"queries":["a"],"tile":64}`, `{"queries":[null]}`, `{"queries":[1]}`, `{"queries":null}`, `null`, `[]`, `{}{}`,
		`{"queries":["@a"],"x":1}`, `{"queries":[{"name":"a","phrases":[null]}]}`, `{"texts":["a","b"]}`, `{"queries":["a"],"path":"*/b","per_picture":true,"min_size":3}`, "{\"queries\":[\"\xff\"]}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := fromJSON([]byte(text), detectFields, limits); err != nil {
			refused(t, err)
		} else {
			a.checkTaken(t)
		}
		if texts, err := parseTexts([]byte(text), limits); err != nil {
			refused(t, err)
		} else if n := len(texts); n < 1 || n > limits.Phrases {
			t.Errorf("%d texts, want 1 to %d", n, limits.Phrases)
		}
		if queries, params, err := parseSearch([]byte(text), limits); err != nil {
			refused(t, err)
		} else if len(queries) < 1 || params.TopK < 1 || params.TopK > 10_000 {
			t.Errorf("%d queries and %+v", len(queries), params)
		}
	})
}

func FuzzForm(f *testing.F) {
	const good = "--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\nabc\r\n" +
		"--x\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n{\"queries\":[\"a\"]}\r\n--x--\r\n"
	f.Add("multipart/form-data; boundary=x", good)
	f.Add("multipart/form-data; boundary=x", good[:len(good)/2])
	f.Add("multipart/form-data; boundary=\"\"", good)
	f.Add("multipart/form-data", good)
	f.Add("multipart/form-data; boundary=x", strings.ReplaceAll(good, "filename=\"a.jpg\"", "filename=\"../../a\""))
	f.Add("multipart/form-data; boundary=x", strings.Repeat("--x\r\nContent-Disposition: form-data; filename=a\r\n\r\n\r\n", 5)+"--x--")
	f.Fuzz(func(t *testing.T, kind, body string) {
		form, err := readForm(kind, strings.NewReader(body), limits.Pictures)
		if err != nil {
			refused(t, err)
			return
		}
		size := len(form.request)
		for _, p := range form.pictures {
			if p.name == "" || strings.Contains(p.name, "/") {
				t.Errorf("a picture is named %q", p.name)
			}
			size += len(p.data)
		}
		if n := len(form.pictures); n < 1 || n > limits.Pictures || size > len(body) {
			t.Errorf("%d pictures, and %d bytes of %d", n, size, len(body))
		}
	})
}
