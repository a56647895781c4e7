package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/query"
	"github.com/clipdet/clipdet/pkg/results"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

// service is a handler behind a real server.
type service struct {
	*Handler
	url string
}

// start starts a service with the tiny models, of random weights, or others.
func start(t testing.TB, of detect.Options, options Options) service {
	t.Helper()
	if of.Models == (model.Set{}) {
		of.Models = model.Dir("../../testdata/models/tiny")
	}
	if of.Proposals == 0 {
		of.Proposals = 10
	}
	of.Threads, of.Device, of.DType = 1, "cpu", model.Float32 // go test runs packages side by side
	d, err := detect.Open(context.Background(), of)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	h, err := New(d, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return service{h, server.URL}
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends a request. kind is the type of the body.
func (s service) ask(t testing.TB, method, path, kind, body string) reply {
	t.Helper()
	r, err := s.try(t.Context(), method, path, kind, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s service) try(ctx context.Context, method, path, kind, body string) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	return send(request)
}

func send(request *http.Request) (reply, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(data)}, err
}

const asJSON = "application/json"

// read returns a file of testdata.
func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile("../../testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// part is one of a form. A part without a file has no file name.
type part struct{ name, file, data string }

func formOf(t testing.TB, parts ...part) (kind, body string) {
	t.Helper()
	var buffer bytes.Buffer
	w := multipart.NewWriter(&buffer)
	for _, p := range parts {
		var to io.Writer
		var err error
		if p.file == "" {
			to, err = w.CreateFormField(p.name)
		} else {
			to, err = w.CreateFormFile(p.name, p.file)
		}
		if err == nil {
			_, err = io.WriteString(to, p.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), buffer.String()
}

// alone returns what a call of the detector gives by itself.
func alone(t testing.TB, d *detect.Detector, name, data string, params detect.Params, boxes bool, queries ...string) results.Record {
	t.Helper()
	picture, err := pixels.Decode(strings.NewReader(data), pixels.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var list []detect.Query
	for _, text := range queries {
		q, err := query.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, q.Query)
	}
	asked, err := d.Queries(t.Context(), list...)
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	result, err := d.Detect(t.Context(), picture, asked, params)
	if err != nil {
		t.Fatal(err)
	}
	return recordOf(name, result, boxes)
}

// same reports whether JSON is that of a record, except the timings.
func same(t testing.TB, text string, want results.Record) bool {
	t.Helper()
	if sameRecord(text, want) {
		return true
	}
	if !json.Valid([]byte(text)) {
		t.Errorf("no JSON: %.300s", text)
	}
	return false
}

func sameRecord(text string, want results.Record) bool {
	var got results.Record
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return false
	}
	got.Timings, want.Timings = detect.Timings{}, detect.Timings{}
	if len(got.Detections) == 0 && len(want.Detections) == 0 {
		got.Detections, want.Detections = nil, nil
	}
	return reflect.DeepEqual(got, want)
}

// conforms checks JSON against a schema of openapi.json.
func conforms(t testing.TB, schema, text string) {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("openapi.json#/components/schemas/" + schema)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Errorf("%v in %.300s", err, text)
		return
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("%v in %.300s", err, text)
	}
}

// isProblem checks an answer about an error.
func isProblem(t testing.TB, what string, r reply, status int, name string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Errorf("%s: %d, %v in %.300s", what, r.status, err, r.body)
		return p
	}
	conforms(t, "Problem", r.body)
	if r.status != status || p.Status != status || p.Error != name || r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: %d, %s %s; want %d, a problem with %s", what, r.status, r.header.Get("Content-Type"), r.body, status, name)
	}
	if id := r.header.Get("X-Request-Id"); id == "" || id != p.RequestID {
		t.Errorf("%s: the id is %q in the header and %q in the problem", what, id, p.RequestID)
	}
	return p
}
