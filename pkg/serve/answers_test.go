package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/index"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/results"
)

// The built-in models answer by each way what a lone call of the detector gives.
func TestAnswersAreThoseOfLoneCalls(t *testing.T) {
	s := start(t, detect.Options{Models: builtin.Models()}, Options{})
	asked := []string{"cup", "bowl=a bowl|a small plate::2|-a saucer"}
	parameters := url.Values{"q": asked, "threshold": {"0.3"}, "top_k": {"3"}, "nms": {"0.4"}, "boxes": {"true"}}
	params := detect.Params{Threshold: 0.3, TopK: 3, NMS: 0.4}
	const inJSON = `{"queries": ["cup", {"name": "bowl", "phrases": ["a bowl", "a small plate"], "weights": [1, 2], "negatives": ["a saucer"]}],
		"threshold": 0.3, "top_k": 3.0, "nms": 0.4, "boxes": true}`

	var parts []part
	var want []results.Record
	for _, name := range []string{"photos/coffee.jpg", "images/scene-002.jpg"} {
		picture := read(t, name)
		parts, want = append(parts, part{"image", name[7:], picture}), append(want, alone(t, s.detector, name[7:], picture, params, true, asked...))
		if len(want[0].Detections) == 0 {
			t.Fatal("there are no detections to compare")
		}
		parameters.Set("name", name[7:])
		r := s.ask(t, "POST", "/v1/detect?"+parameters.Encode(), "image/jpeg", picture)
		if r.status != http.StatusOK || r.header.Get("Content-Type") != asJSON || !same(t, r.body, want[len(want)-1]) {
			t.Errorf("%s: %d %s, want %+v", name, r.status, r.body, want[len(want)-1])
		}
		conforms(t, "Picture", r.body)
	}

	// A form, by a part and by parameters. A file that is no picture costs no other its answer.
	parameters.Del("name")
	parts = slices.Insert(parts, 1, part{"anything", "notes.txt", "no picture"})
	for what, ask := range map[string]func() reply{
		"part request": func() reply {
			kind, body := formOf(t, slices.Concat(parts, []part{{"request", "", inJSON}})...)
			return s.ask(t, "POST", "/v1/detect", kind, body)
		},
		"parameters": func() reply {
			kind, body := formOf(t, parts...)
			return s.ask(t, "POST", "/v1/detect?"+parameters.Encode(), kind, body)
		},
	} {
		r := ask()
		lines := strings.Split(strings.TrimSuffix(r.body, "\n"), "\n")
		if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/x-ndjson" || len(lines) != 3 {
			t.Fatalf("%s: %d %s; want three lines", what, r.status, r.body)
		}
		for i, line := range lines {
			conforms(t, "Picture", line)
			if i == 1 {
				if !strings.HasPrefix(line, `{"image":"notes.txt","error":"not a picture`) {
					t.Errorf("%s: of the text: %s", what, line)
				}
			} else if !same(t, line, want[i/2]) {
				t.Errorf("%s: line %d is %s, want %+v", what, i+1, line, want[i/2])
			}
		}
	}

	// Regions, once encoded.
	picture := parts[0].data
	r := s.ask(t, "POST", "/v1/regions", "application/octet-stream", picture)
	conforms(t, "Regions", r.body)
	var kept regionsAnswer
	if err := json.Unmarshal([]byte(r.body), &kept); err != nil || r.status != http.StatusCreated || r.header.Get("Location") != "regions/"+kept.ID {
		t.Fatalf("%d %s, %v", r.status, r.body, err)
	}
	if !slices.Equal(kept.Boxes, want[0].Boxes) || kept.Width != want[0].Width || kept.Height != want[0].Height {
		t.Errorf("the regions are %s, want those of %+v", r.body, want[0])
	}
	crops := s.detector.Stats().Crops
	again := s.ask(t, "POST", "/v1/regions", "", picture)
	looked := s.ask(t, "GET", "/v1/regions/"+kept.ID, "", "")
	for what, r := range map[string]reply{"posted again": again, "looked at": looked} {
		var now regionsAnswer
		if err := json.Unmarshal([]byte(r.body), &now); err != nil || r.status != http.StatusOK || !slices.Equal(now.Boxes, kept.Boxes) || now.Expires.Before(kept.Expires) {
			t.Errorf("%s: %d %s, %v; want the same regions, and no earlier end", what, r.status, r.body, err)
		}
	}
	for what, r := range map[string]reply{
		"JSON":       s.ask(t, "POST", "/v1/regions/"+kept.ID+"/match?name=coffee.jpg", asJSON, inJSON),
		"parameters": s.ask(t, "POST", "/v1/regions/"+kept.ID+"/match?name=coffee.jpg&"+parameters.Encode(), "", ""),
	} {
		conforms(t, "Picture", r.body)
		if r.status != http.StatusOK || !same(t, r.body, want[0]) {
			t.Errorf("match by %s: %d %s, want %+v", what, r.status, r.body, want[0])
		}
	}
	if now := s.detector.Stats().Crops; now != crops {
		t.Errorf("%d crops were encoded for regions that are kept", now-crops)
	}
	if r := s.ask(t, "DELETE", "/v1/regions/"+kept.ID, "", ""); r.status != http.StatusNoContent {
		t.Errorf("DELETE: %d %s", r.status, r.body)
	}
	isProblem(t, "dropped", s.ask(t, "POST", "/v1/regions/"+kept.ID+"/match?q=cup", "", ""), http.StatusNotFound, "serve.ErrNotFound")
}

func TestDefaultThresholds(t *testing.T) {
	for text, want := range map[string]float32{
		"q=a":                           0.65,
		"q=a&rank=cosine":               -1,
		"q=a&rank=cosine&threshold=0.1": 0.1,
		"q=a&threshold=0":               0,
	} {
		a, err := fromURL(text, detectFields, Options{Queries: 1, Phrases: 1})
		if err != nil || a.params.Threshold != want {
			t.Errorf("%s: %v, %v; want %v", text, a.params.Threshold, err, want)
		}
	}
}

func TestEmbed(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	r := s.ask(t, "POST", "/v1/embed", asJSON, `{"texts": ["a dog", "a cat", "a dog"]}`)
	conforms(t, "EmbedAnswer", r.body)
	var got struct {
		Width      int
		Embeddings [][]float32
	}
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != http.StatusOK || len(got.Embeddings) != 3 {
		t.Fatalf("%d %s, %v", r.status, r.body, err)
	}
	q, err := s.detector.Queries(t.Context(), detect.Query{Name: "x", Phrases: []string{"a cat"}})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	want, err := q.Embeddings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Embeddings[1], want[0]) || !slices.Equal(got.Embeddings[0], got.Embeddings[2]) || got.Width != len(want[0]) {
		t.Errorf("got %s, want the embedding %v in the second place, and the same in the first and third", r.body, want[0])
	}
	length := 0.0
	for _, v := range got.Embeddings[0] {
		length += float64(v) * float64(v)
	}
	if math.Abs(length-1) > 1e-5 {
		t.Errorf("the length is %v, want 1", math.Sqrt(length))
	}
}

func TestSearch(t *testing.T) {
	without := start(t, detect.Options{}, Options{})
	isProblem(t, "without an index", without.ask(t, "POST", "/v1/search", asJSON, `{"queries":["owl"]}`), http.StatusNotFound, "serve.ErrNoIndex")

	dir := t.TempDir()
	ix := indexed(t, without.detector, dir)
	s := start(t, detect.Options{}, Options{Index: ix})
	r := s.ask(t, "POST", "/v1/search", asJSON, `{"queries": ["owl", "camera"], "top_k": 3, "per_picture": true}`)
	conforms(t, "SearchAnswer", r.body)
	var got struct {
		Results []struct {
			Query string
			Hits  []index.Hit
		}
	}
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != http.StatusOK {
		t.Fatalf("%d %s, %v", r.status, r.body, err)
	}
	queries, err := s.detector.Queries(t.Context(), detect.Query{Name: "owl"}, detect.Query{Name: "camera"})
	if err != nil {
		t.Fatal(err)
	}
	defer queries.Close()
	want, err := ix.Search(t.Context(), s.detector, queries, index.Params{TopK: 3, PerPicture: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, list := range want {
		for k := range list {
			list[k].SHA256 = "" // JSON has none
		}
		if len(list) != 2 || got.Results[i].Query != queries.Names()[i] || !slices.Equal(got.Results[i].Hits, list) {
			t.Errorf("got %+v, want %+v, one of each picture", got.Results[i], list)
		}
	}
	conforms(t, "Models", s.ask(t, "GET", "/v1/models", "", "").body)
	if r := s.ask(t, "GET", "/v1/models", "", ""); !strings.Contains(r.body, `"index":{"pictures":2,"regions":20}`) {
		t.Errorf("models say %s, want the index's two pictures", r.body)
	}
	for what, body := range map[string]string{
		"top_k 0": `{"queries":["a"],"top_k":0}`, "a rank": `{"queries":["a"],"rank":"luck"}`, "nothing": `{}`, "a threshold": `{"queries":["a"],"threshold":2}`,
	} {
		isProblem(t, what, s.ask(t, "POST", "/v1/search", asJSON, body), http.StatusBadRequest, "serve.ErrRequest")
	}
	isProblem(t, "a pattern", s.ask(t, "POST", "/v1/search", asJSON, `{"queries":["a"],"path":"["}`), http.StatusBadRequest, "index.ErrOption")
}

// indexed makes an index in dir, a shard for each picture, and opens it.
func indexed(t *testing.T, d *detect.Detector, dir string) *index.Index {
	t.Helper()
	for _, name := range []string{"images/scene-002.jpg", "images/scene-006.jpg"} {
		w, err := index.Create(dir, d.Info(), index.Options{})
		if err != nil {
			t.Fatal(err)
		}
		picture, err := pixels.DecodeFile("../../testdata/"+name, pixels.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		regions, err := d.Regions(t.Context(), picture)
		if err != nil {
			t.Fatal(err)
		}
		about, err := index.Look("../../testdata/" + name)
		if err == nil {
			about, err = about.Read()
		}
		if err == nil {
			err = w.Append(t.Context(), about, regions)
		}
		regions.Close()
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	ix, err := index.Open(dir, index.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

// A search is answered after the index was compacted too, and no answer names its files.
func TestSearchOfAChangedIndex(t *testing.T) {
	dir := t.TempDir()
	ix := indexed(t, start(t, detect.Options{}, Options{}).detector, dir)
	var failed error
	opened := 0
	s := start(t, detect.Options{}, Options{Index: ix, OpenIndex: func() (*index.Index, error) {
		if opened++; failed != nil {
			return nil, failed
		}
		return index.Open(dir, index.OpenOptions{})
	}})
	alone := start(t, detect.Options{}, Options{Index: ix})
	const body = `{"queries":["owl"],"top_k":3}`
	before := s.ask(t, "POST", "/v1/search", asJSON, body)
	if err := index.Compact(t.Context(), dir, index.Options{}); err != nil {
		t.Fatal(err)
	}
	changed := func(what string, s service) {
		t.Helper()
		r := s.ask(t, "POST", "/v1/search", asJSON, body)
		p := isProblem(t, what, r, http.StatusServiceUnavailable, "index.ErrChanged")
		if strings.Contains(p.Detail, "shard-") || strings.Contains(p.Detail, dir) || r.header.Get("Retry-After") != "" {
			t.Errorf("%s: %s; want no path, and not to be asked again", what, r.body)
		}
	}
	changed("without OpenIndex", alone)
	failed = fmt.Errorf("index: %w: %s has another format", index.ErrOption, dir)
	changed("an index that can't be opened", s)
	failed = nil
	opened = 0
	for range 2 {
		if after := s.ask(t, "POST", "/v1/search", asJSON, body); after.status != http.StatusOK || after.body != before.body {
			t.Errorf("after Compact: %d %s; want %s", after.status, after.body, before.body)
		}
	}
	if opened != 1 {
		t.Errorf("the index was opened %d times, want 1", opened)
	}
}

// The hits of a search are bounded, and so is their memory.
func TestHitsAreBounded(t *testing.T) {
	d := start(t, detect.Options{}, Options{}).detector
	s := start(t, detect.Options{}, Options{Index: indexed(t, d, t.TempDir()), Hits: 6, Bytes: 1000, Memory: 4 * hitMemory})
	for body, status := range map[string]int{
		`{"queries":["a","b"],"top_k":3}`: http.StatusOK,
		`{"queries":["a"],"top_k":6}`:     http.StatusOK,
		`{"queries":["a","b"],"top_k":4}`: http.StatusUnprocessableEntity,
		`{"queries":["a"]}`:               http.StatusUnprocessableEntity,
	} {
		r := s.ask(t, "POST", "/v1/search", asJSON, body)
		if status != http.StatusOK {
			isProblem(t, body, r, status, "detect.ErrLimit")
		} else if r.status != status {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	if !s.pictures.TryAcquire(2 * hitMemory) {
		t.Fatal("searches left memory taken")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if r, err := s.try(ctx, "POST", "/v1/search", asJSON, `{"queries":["a"],"top_k":3}`); err == nil {
		t.Errorf("a search without memory: %d %s", r.status, r.body)
	}
	if r := s.ask(t, "POST", "/v1/search", asJSON, `{"queries":["a"],"top_k":2}`); r.status != http.StatusOK {
		t.Errorf("a search with memory: %d %s", r.status, r.body)
	}
	s.pictures.Release(2 * hitMemory)
}

func TestModelsNameNoPath(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	r := s.ask(t, "GET", "/v1/models", "", "")
	conforms(t, "Models", r.body)
	if path := s.detector.Info().Text.Path; path == "" || strings.Contains(r.body, "testdata") || !strings.Contains(r.body, `"index":null`) {
		t.Errorf("got %s; want no path such as %s, and no index", r.body, path)
	}
}

// Lines come in the order of the pictures, and the answer begins before it is known whole.
func TestLinesAreStreamed(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	picture := read(t, "images/scene-002.jpg")
	parts := make([]part, 6)
	for i := range parts {
		parts[i] = part{"image", fmt.Sprintf("%d.jpg", i), picture}
	}
	kind, body := formOf(t, parts...)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/detect?q=owl", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", kind)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.ContentLength != -1 {
		t.Errorf("the length %d was known at the start", response.ContentLength)
	}
	lines := bufio.NewScanner(response.Body)
	for i := range parts {
		if !lines.Scan() || !strings.Contains(lines.Text(), fmt.Sprintf(`{"image":"%d.jpg"`, i)) {
			t.Fatalf("line %d is %s, %v", i+1, lines.Text(), lines.Err())
		}
	}
}
