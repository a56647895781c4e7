package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
)

func TestMetrics(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	s.ask(t, "POST", "/v1/detect?q=owl", "", read(t, "images/scene-002.jpg"))
	s.ask(t, "POST", "/v1/detect?q=owl", "", "no picture")
	s.keepPicture(t, read(t, "photos/cat.jpg"))
	r := s.ask(t, "GET", "/metrics", "", "")
	if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
		t.Errorf("%d %s", r.status, r.header)
	}
	for _, line := range []string{
		`clipdet_requests_total{code="200",route="/v1/detect"} 1`,
		`clipdet_requests_total{code="415",route="/v1/detect"} 1`,
		`clipdet_request_seconds_count{route="/v1/detect"} 2`,
		`clipdet_stage_seconds_count{stage="encode"} 1`,
		"clipdet_wait_seconds_count 1",
		"clipdet_pictures_total 2",
		"clipdet_queue_length 0",
		"clipdet_queue_places 128",
		"clipdet_kept_regions 1",
		"clipdet_ready 1",
		`clipdet_failures_total{kind="closed"} 0`,
	} {
		if !strings.Contains(r.body, line+"\n") {
			t.Errorf("there is no line %q", line)
		}
	}
	for _, name := range []string{"clipdet_crops_total ", "clipdet_live_tensors ", "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(r.body, "\n"+name) {
			t.Errorf("there is no %s", name)
		}
	}
	problems, err := promlint.New(strings.NewReader(r.body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// The metrics go to the caller's registry, and leave it.
func TestRegistryOfTheCaller(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := start(t, detect.Options{}, Options{Registry: registry})
	if families, err := registry.Gather(); err != nil || len(families) == 0 {
		t.Errorf("%d families, %v", len(families), err)
	}
	if _, err := New(s.detector, Options{Registry: registry}); !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
		t.Errorf("a second handler: %v, want AlreadyRegisteredError", err)
	}
	if _, err := registry.Gather(); err != nil {
		t.Errorf("after a second handler: %v", err)
	}
	s.Handler.Close()
	if families, err := registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("after Close: %d families, %v", len(families), err)
	}
	h, err := New(s.detector, Options{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
}

func TestLogsAndIDs(t *testing.T) {
	var log bytes.Buffer
	s := start(t, detect.Options{}, Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	for id, kept := range map[string]bool{"trace-1.a_B": true, "a b": false, "": false, strings.Repeat("a", 65): false} {
		log.Reset()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/models?secret=1", nil)
		request.Header.Set("X-Request-Id", id)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, request)
		got := w.Header().Get("X-Request-Id")
		if (got == id) != kept || got == "" {
			t.Errorf("%q became %q", id, got)
		}
		var line struct {
			Msg, Method, Route, RequestID string
			Status                        int
			ID                            string  `json:"request_id"`
			Took                          float64 `json:"took_ms"`
		}
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatalf("%v in %q", err, log.String())
		}
		if line.ID != got || line.Route != "/v1/models" || line.Status != 200 || line.Took <= 0 || strings.Contains(log.String(), "secret") {
			t.Errorf("the log is %s", log.String())
		}
	}
	log.Reset()
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil))
	if log.Len() > 0 {
		t.Errorf("a probe is logged: %s", log.String())
	}
}

// A fault becomes a problem that tells nothing of the inside, and the log has it.
func TestFaultsAreLogged(t *testing.T) {
	var log bytes.Buffer
	s := start(t, detect.Options{}, Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	for what, do := range map[string]answer{
		"an error": func(http.ResponseWriter, *http.Request) error { return errors.New("open /secret/place: no") },
		"a panic":  func(http.ResponseWriter, *http.Request) error { panic("/secret/place") }, //nolint:forbidigo // it is the case
	} {
		log.Reset()
		w := httptest.NewRecorder()
		s.observed(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), "test", do)
		isProblem(t, what, reply{w.Code, w.Header(), w.Body.String()}, http.StatusInternalServerError, "serve.ErrInternal")
		if strings.Contains(w.Body.String(), "secret") || !strings.Contains(log.String(), "/secret/place") {
			t.Errorf("%s: the answer is %s, and the log %s", what, w.Body.String(), log.String())
		}
	}
	// What has begun can't become a problem: the connection breaks off.
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("got %v, want ErrAbortHandler", p)
		}
	}()
	s.observed(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), "test", func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		return errors.New("later")
	})
}

// faultyPicture returns a picture that asks testdata/models/faulty for a fault.
func faultyPicture(t *testing.T, fault uint8) string {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 80, 60))
	for i := range img.Pix {
		img.Pix[i] = 100
	}
	img.SetRGBA(0, 0, color.RGBA{250, 5, 10 * fault, 255})
	var text bytes.Buffer
	if err := png.Encode(&text, img); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// Models that fail in libtorch itself cost a picture its answer, and no other.
func TestFaultyModels(t *testing.T) {
	var log bytes.Buffer
	s := start(t, detect.Options{Models: model.Dir("../../testdata/models/faulty")}, Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	good := read(t, "photos/cat.jpg")
	want := alone(t, s.detector, "-", good, detect.Params{Threshold: 0.1}, false, "owl")
	for _, test := range []struct {
		name   string
		fault  uint8
		status int
		err    string
	}{
		{"the module throws", 1, http.StatusInternalServerError, "serve.ErrInternal"},
		{"no memory", 2, http.StatusServiceUnavailable, "detect.ErrOutOfMemory"},
		{"no numbers", 6, http.StatusInternalServerError, "serve.ErrInternal"},
	} {
		picture := faultyPicture(t, test.fault)
		r := s.ask(t, "POST", "/v1/detect?q=owl", "", picture)
		isProblem(t, test.name, r, test.status, test.err)
		if test.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", test.name)
		}
		kind, body := formOf(t, part{"image", "bad", picture}, part{"image", "-", good})
		r = s.ask(t, "POST", "/v1/detect?q=owl&threshold=0.1", kind, body)
		first, second, _ := strings.Cut(r.body, "\n")
		if !strings.HasPrefix(first, `{"image":"bad","error":`) || !same(t, second, want) {
			t.Errorf("%s: the form gets %s; want an error, and %+v", test.name, r.body, want)
		}
		if r := s.ask(t, "GET", "/readyz", "", ""); r.status != http.StatusOK {
			t.Errorf("%s: readiness is then %d %s", test.name, r.status, r.body)
		}
	}
	if strings.Contains(log.String(), "panic") {
		t.Errorf("there was a panic: %s", log.String())
	}
}

func TestPage(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	r := s.ask(t, "GET", "/", "", "")
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(r.body, "<title>") {
		t.Errorf("%d %s %.100s", r.status, r.header, r.body)
	}
	policy := r.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("the policy is %q; want nothing but the service's own", policy)
	}
	if named := s.ask(t, "GET", "/index.html", "", ""); named.body != r.body {
		t.Errorf("index.html: %d", named.status)
	}
	files, err := pageFiles.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file.IsDir() {
			continue
		}
		r := s.ask(t, "GET", "/"+file.Name(), "", "")
		if r.status != http.StatusOK || r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d %v", file.Name(), r.status, r.header)
		}
	}
	head := s.ask(t, "HEAD", "/", "", "")
	if head.status != http.StatusOK || head.body != "" {
		t.Errorf("HEAD: %d %q", head.status, head.body)
	}
}
