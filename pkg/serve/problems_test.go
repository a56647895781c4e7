package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
)

func TestProblems(t *testing.T) {
	s := start(t, detect.Options{}, Options{Bytes: 200_000, Memory: 200_000, Pixels: 200_000, Pictures: 2, Queries: 3, Phrases: 20})
	picture := read(t, "photos/cat.jpg") // of 451 x 300 pixels
	form := func(parts ...part) func() (string, string) {
		return func() (string, string) { return formOf(t, parts...) }
	}
	plain := func(kind, body string) func() (string, string) {
		return func() (string, string) { return kind, body }
	}
	good := part{"image", "a.jpg", picture}
	unknown := strings.Repeat("0", 64)
	for _, test := range []struct {
		name, method, path string
		body               func() (kind, body string)
		status             int
		err                string
	}{
		{"no query", "POST", "/v1/detect", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"an unknown parameter", "POST", "/v1/detect?q=a&treshold=1", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"a parameter twice", "POST", "/v1/detect?q=a&nms=1&nms=1", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"a number that is none", "POST", "/v1/detect?q=a&threshold=.1", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"a number out of range", "POST", "/v1/detect?q=a&threshold=2", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"half a number", "POST", "/v1/detect?q=a&top_k=1.5", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"a side of tiles", "POST", "/v1/detect?q=a&tile=31", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"a size below the other", "POST", "/v1/detect?q=a&min_size=9&max_size=8", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"a bad escape", "POST", "/v1/detect?q=%zz", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"an unknown rank", "POST", "/v1/detect?q=a&rank=luck", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"soft NMS by the cosine", "POST", "/v1/detect?q=a&rank=cosine&soft_nms=0.5", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"a name twice", "POST", "/v1/detect?q=a&q=a", plain("image/jpeg", picture), 400, "detect.ErrQuery"},
		{"an empty query", "POST", "/v1/detect?q=", plain("image/jpeg", picture), 400, "detect.ErrQuery"},
		{"a file of the host", "POST", "/v1/detect?q=a=@/etc/passwd", plain("image/jpeg", picture), 400, "detect.ErrQuery"},
		{"a long text", "POST", "/v1/detect?q=" + strings.Repeat("word+", 100), plain("image/jpeg", picture), 400, "prompt.ErrTooLong"},
		{"no UTF-8", "POST", "/v1/detect?q=%ff", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"four queries", "POST", "/v1/detect?q=a&q=b&q=c&q=d", plain("image/jpeg", picture), 422, "detect.ErrLimit"},
		{"many phrases", "POST", "/v1/detect?q=a=" + strings.Repeat("b|", 20) + "b", plain("image/jpeg", picture), 422, "detect.ErrLimit"},
		{"no bytes", "POST", "/v1/detect?q=a", plain("image/jpeg", ""), 400, "pixels.ErrEmpty"},
		{"a text for a picture", "POST", "/v1/detect?q=a", plain("image/jpeg", "hello"), 415, "pixels.ErrFormat"},
		{"half a picture", "POST", "/v1/detect?q=a", plain("image/jpeg", picture[:len(picture)/2]), 422, "pixels.ErrBroken"},
		{"JSON for a picture", "POST", "/v1/detect?q=a", plain(asJSON, "{}"), 415, "serve.ErrMediaType"},
		{"no type at all", "POST", "/v1/detect?q=a", plain("/", picture), 415, "serve.ErrMediaType"},
		{"a large picture", "POST", "/v1/detect?q=a", plain("image/jpeg", read(t, "photos/coffee.jpg")), 413, "pixels.ErrTooLarge"},
		{"a large body", "POST", "/v1/detect?q=a", plain("image/jpeg", strings.Repeat("a", 200_001)), 413, "serve.ErrTooLarge"},

		{"a form without a boundary", "POST", "/v1/detect?q=a", plain("multipart/form-data", "a"), 400, "serve.ErrRequest"},
		{"half a form", "POST", "/v1/detect?q=a", plain("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\nab"), 400, "serve.ErrRequest"},
		{"no picture", "POST", "/v1/detect", form(part{"request", "", `{"queries":["a"]}`}), 400, "serve.ErrRequest"},
		{"a field", "POST", "/v1/detect?q=a", form(good, part{"quality", "", "high"}), 400, "serve.ErrRequest"},
		{"two requests", "POST", "/v1/detect", form(good, part{"request", "", "{}"}, part{"request", "", "{}"}), 400, "serve.ErrRequest"},
		{"asked twice", "POST", "/v1/detect?q=a", form(good, part{"request", "", `{"queries":["a"]}`}), 400, "serve.ErrRequest"},
		{"three pictures", "POST", "/v1/detect?q=a", form(good, good, good), 422, "detect.ErrLimit"},
		{"a threshold of none", "POST", "/v1/detect", form(good, part{"request", "", `{"queries":["a"],"thresholds":{"b":0.5}}`}), 400, "serve.ErrRequest"},

		{"regions with parameters", "POST", "/v1/regions?q=a", plain("image/jpeg", picture), 400, "serve.ErrRequest"},
		{"regions of a text", "POST", "/v1/regions", plain("image/jpeg", "hello"), 415, "pixels.ErrFormat"},
		{"unknown regions", "GET", "/v1/regions/" + unknown, plain("", ""), 404, "serve.ErrNotFound"},
		{"unknown regions to drop", "DELETE", "/v1/regions/" + unknown, plain("", ""), 404, "serve.ErrNotFound"},
		{"unknown regions to match", "POST", "/v1/regions/" + unknown + "/match?q=a", plain("", ""), 404, "serve.ErrNotFound"},
		{"match without a query", "POST", "/v1/regions/" + unknown + "/match", plain("", ""), 400, "serve.ErrRequest"},
		{"match asked twice", "POST", "/v1/regions/" + unknown + "/match?q=a", plain(asJSON, `{"queries":["a"]}`), 400, "serve.ErrRequest"},
		{"match in tiles", "POST", "/v1/regions/" + unknown + "/match", plain(asJSON, `{"queries":["a"],"tile":64}`), 400, "serve.ErrRequest"},
		{"match of a form", "POST", "/v1/regions/" + unknown + "/match", form(good), 415, "serve.ErrMediaType"},

		{"no JSON", "POST", "/v1/embed", plain(asJSON, ""), 400, "serve.ErrRequest"},
		{"half the JSON", "POST", "/v1/embed", plain(asJSON, `{"texts":["a"`), 400, "serve.ErrRequest"},
		{"more than JSON", "POST", "/v1/embed", plain(asJSON, `{"texts":["a"]} {}`), 400, "serve.ErrRequest"},
		{"null", "POST", "/v1/embed", plain(asJSON, `null`), 400, "serve.ErrRequest"},
		{"a text that is null", "POST", "/v1/embed", plain(asJSON, `{"texts":["a",null]}`), 400, "serve.ErrRequest"},
		{"an unknown field", "POST", "/v1/embed", plain(asJSON, `{"text":"a"}`), 400, "serve.ErrRequest"},
		{"no texts", "POST", "/v1/embed", plain(asJSON, `{"texts":[]}`), 400, "serve.ErrRequest"},
		{"many texts", "POST", "/v1/embed", plain(asJSON, `{"texts":["a"`+strings.Repeat(`,"a"`, 20)+`]}`), 422, "detect.ErrLimit"},
		{"a phrase with {}", "POST", "/v1/embed", plain(asJSON, `{"texts":["a {}"]}`), 400, "detect.ErrQuery"},
		{"another type", "POST", "/v1/embed", plain("text/plain", `{"texts":["a"]}`), 415, "serve.ErrMediaType"},

		{"no path", "GET", "/v2/models", plain("", ""), 404, "serve.ErrNotFound"},
		{"a folder of the page", "GET", "/page", plain("", ""), 404, "serve.ErrNotFound"},
		{"out of the page", "GET", "/../page.go", plain("", ""), 404, "serve.ErrNotFound"},
		{"another method", "GET", "/v1/detect", plain("", ""), 405, "serve.ErrMethod"},
		{"another method of the page", "POST", "/", plain("", ""), 405, "serve.ErrMethod"},
	} {
		t.Run(test.name, func(t *testing.T) {
			kind, body := test.body()
			r := s.ask(t, test.method, test.path, kind, body)
			p := isProblem(t, test.name, r, test.status, test.err)
			if strings.Contains(p.Detail, "goroutine") || strings.Contains(p.Detail, ".go:") {
				t.Errorf("the detail has a stack: %s", p.Detail)
			}
		})
	}
	if n := s.places.taken(); n != 0 {
		t.Errorf("%d places are taken at the end", n)
	}
	if !s.bodies.TryAcquire(200_000) || !s.pictures.TryAcquire(200_000) {
		t.Error("memory of bodies or pictures isn't given back")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	for what, o := range map[string]Options{
		"Queries":  {Queries: 1001},
		"Pictures": {Pictures: 200},
		"Queue":    {Queue: -1},
		"Memory":   {Memory: 1},
		"Bytes":    {Bytes: -1},
		"Token":    {Token: "a "},
		"origin":   {Origins: []string{"example.com"}},
	} {
		if _, err := New(s.detector, o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v, want an error that names it", what, err)
		}
	}
}

func TestToken(t *testing.T) {
	s := start(t, detect.Options{}, Options{Token: "secret"})
	for _, test := range []struct {
		path, authorization string
		status              int
	}{
		{"/v1/models", "", 401},
		{"/v1/models", "Bearer secre", 401},
		{"/v1/models", "Bearer secrets", 401},
		{"/v1/models", "Basic secret", 401},
		{"/v1/models", "Bearer secret", 200},
		{"/v1/models", "bearer  secret", 200},
		{"/metrics", "", 401},
		{"/metrics", "Bearer secret", 200},
		{"/healthz", "", 200},
		{"/v2/health/live", "", 200},
		{"/readyz", "", 200},
		{"/v2/health/ready", "", 200},
		{"/openapi.json", "", 200},
		{"/", "", 200},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.path, nil)
		if test.authorization != "" {
			request.Header.Set("Authorization", test.authorization)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, request)
		if w.Code != test.status {
			t.Errorf("%s with %q: %d, want %d", test.path, test.authorization, w.Code, test.status)
		}
		if test.status == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s with %q: no WWW-Authenticate", test.path, test.authorization)
		}
	}
}

func TestPagesOfOtherSites(t *testing.T) {
	const site = "https://example.com"
	for _, test := range []struct {
		name, origin string
		named        []string
		status       int
		allowed      string
	}{
		{"none named", site, nil, 403, ""},
		{"another named", site, []string{"https://example.org"}, 403, ""},
		{"named", site, []string{"https://example.org", site}, 200, site},
		{"all", site, []string{"*"}, 200, site},
		{"the service's own page", "", nil, 200, ""},
	} {
		s := start(t, detect.Options{}, Options{Origins: test.named})
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/embed", strings.NewReader(`{"texts":["a"]}`))
		if err != nil {
			t.Fatal(err)
		}
		if request.Header.Set("Origin", test.origin); test.origin == "" {
			request.Header.Set("Origin", s.url)
		}
		r, err := send(request)
		if err != nil || r.status != test.status || r.header.Get("Access-Control-Allow-Origin") != test.allowed {
			t.Errorf("%s: %v, %d %v; want %d and %q", test.name, err, r.status, r.header, test.status, test.allowed)
		}
		preflight := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/v1/embed", nil)
		preflight.Header.Set("Origin", test.origin)
		preflight.Header.Set("Access-Control-Request-Method", "POST")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, preflight)
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != test.allowed || (w.Header().Get("Access-Control-Allow-Headers") != "") != (test.allowed != "") {
			t.Errorf("%s: the preflight is answered by %v; want the origin %q", test.name, w.Header(), test.allowed)
		}
	}
}

// A site whose name stands for this machine is another site.
func TestNamesOfTheService(t *testing.T) {
	for _, test := range []struct {
		named  []string
		host   string
		status int
	}{
		{nil, "evil.example", 200},
		{[]string{}, "evil.example", 403},
		{[]string{}, "evil.example:8080", 403},
		{[]string{}, "127.0.0.1.evil.example", 403},
		{[]string{}, "", 403},
		{[]string{}, "localhost:8080", 200},
		{[]string{}, "LocalHost", 200},
		{[]string{}, "127.0.0.1:8080", 200},
		{[]string{}, "[::1]:8080", 200},
		{[]string{}, "[::1]", 200},
		{[]string{"detect.example"}, "Detect.Example:443", 200},
		{[]string{"detect.example"}, "other.detect.example", 403},
	} {
		s := start(t, detect.Options{}, Options{Hosts: test.named})
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/models", nil)
		request.Host = test.host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, request)
		if w.Code != test.status {
			t.Errorf("hosts %q, a request to %q: %d, want %d", test.named, test.host, w.Code, test.status)
		}
		if says := w.Body.String(); test.status == http.StatusForbidden && (!strings.Contains(says, "--host") || strings.Contains(says, "page")) {
			t.Errorf("hosts %q, a request to %q: %s; want what to do, and nothing of a page", test.named, test.host, says)
		}
	}
}

// A full queue refuses what comes, and takes it later.
func TestFullQueue(t *testing.T) {
	s := start(t, detect.Options{}, Options{Queue: 3})
	picture := read(t, "images/scene-002.jpg")
	if err := s.places.take(2); err != nil {
		t.Fatal(err)
	}
	kind, body := formOf(t, part{"image", "a.jpg", picture}, part{"image", "b.jpg", picture})
	r := s.ask(t, "POST", "/v1/detect?q=a", kind, body)
	isProblem(t, "two pictures for one place", r, http.StatusTooManyRequests, "serve.ErrBusy")
	if after := r.header.Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After is %q, want 1", after)
	}
	if r := s.ask(t, "POST", "/v1/detect?q=a", "", picture); r.status != http.StatusOK {
		t.Errorf("one picture for one place: %d %s", r.status, r.body)
	}
	s.places.giveBack(2)
	if r := s.ask(t, "POST", "/v1/detect?q=a", kind, body); r.status != http.StatusOK {
		t.Errorf("two pictures for three places: %d %s", r.status, r.body)
	}
}

// Bodies beyond the memory are refused as they come, and pictures beyond it wait.
func TestMemoryIsBounded(t *testing.T) {
	s := start(t, detect.Options{}, Options{Bytes: 1 << 20, Memory: 1 << 20})
	picture := read(t, "images/scene-002.jpg")
	if !s.bodies.TryAcquire(1 << 20) {
		t.Fatal("the memory is taken at the start")
	}
	isProblem(t, "no memory for bodies", s.ask(t, "POST", "/v1/detect?q=a", "", picture), http.StatusTooManyRequests, "serve.ErrBusy")
	kind, body := formOf(t, part{"image", "a.jpg", picture})
	isProblem(t, "no memory for a form", s.ask(t, "POST", "/v1/detect?q=a", kind, body), http.StatusTooManyRequests, "serve.ErrBusy")
	s.bodies.Release(1 << 20)

	if !s.pictures.TryAcquire(1) {
		t.Fatal("the memory is taken at the start")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		// The picture is larger than all memory, so it needs all of it.
		_, err := s.try(ctx, "POST", "/v1/detect?q=a", "", read(t, "photos/coffee.jpg"))
		done <- err
	}()
	torchtest.Within(t, "places that are free", s.options.Queue-1, func() int { return s.options.Queue - s.places.taken() })
	cancel()
	if err := <-done; err == nil {
		t.Error("a picture was decoded without memory")
	}
	torchtest.Within(t, "places", 0, s.places.taken)
	s.pictures.Release(1)
	if r := s.ask(t, "POST", "/v1/detect?q=a", "", read(t, "photos/coffee.jpg")); r.status != http.StatusOK {
		t.Errorf("with all memory: %d %s", r.status, r.body)
	}
}

func TestSlowBodies(t *testing.T) {
	s := start(t, detect.Options{}, Options{BodyTime: 50 * time.Millisecond, Token: "secret"})
	const head, known = " HTTP/1.1\r\nHost: a\r\n", "Authorization: Bearer secret\r\n"
	const length = "Content-Length: 1000\r\n\r\n"
	form := known + "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n"
	picture := "--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n" + read(t, "images/scene-002.jpg") + "\r\n--x--\r\n"
	tests := []struct {
		name, sent string
		status     int
	}{
		{"a picture", "POST /v1/detect?q=a" + head + known + length + "\xff\xd8\xff", http.StatusRequestTimeout},
		{"a form", "POST /v1/detect?q=a" + head + form + "--x\r\n", http.StatusRequestTimeout},
		{"after a form", "POST /v1/detect?q=a" + head + form + picture, http.StatusRequestTimeout},
		{"JSON", "POST /v1/embed" + head + known + "Content-Type: application/json\r\n" + length + "{", http.StatusRequestTimeout},
		{"a picture for JSON", "POST /v1/embed" + head + known + "Content-Type: image/png\r\n" + length, http.StatusRequestTimeout},
		{"JSON for a picture", "POST /v1/detect?q=a" + head + known + "Content-Type: application/json\r\n" + length, http.StatusUnsupportedMediaType},

		// These bodies are not read.
		{"without the token", "POST /v1/detect?q=a" + head + length, http.StatusUnauthorized},
		{"in chunks", "POST /v1/detect?q=a" + head + "Transfer-Encoding: chunked\r\n\r\n", http.StatusUnauthorized},
		{"of a probe", "GET /healthz" + head + length, http.StatusOK},
		{"of another method", "POST /healthz" + head + length, http.StatusMethodNotAllowed},
		{"of no path", "GET /no" + head + length, http.StatusNotFound},
		{"with parameters", "POST /v1/regions?x=1" + head + known + length, http.StatusBadRequest},
	}
	var connections []net.Conn
	for _, test := range tests {
		connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		if _, err := io.WriteString(connection, test.sent); err != nil {
			t.Fatal(err)
		}
		connections = append(connections, connection)
	}
	for i, connection := range connections {
		if err := connection.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(connection)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Errorf("%s: %v", tests[i].name, err)
			continue
		}
		defer response.Body.Close()
		if response.StatusCode != tests[i].status {
			t.Errorf("%s: %s, want %d", tests[i].name, response.Status, tests[i].status)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Errorf("%s: %v", tests[i].name, err)
		}
		if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the connection isn't closed: %v", tests[i].name, err)
		}
	}
	if n := s.places.taken(); n != 0 {
		t.Errorf("%d places are taken by bodies that didn't come", n)
	}
}

func TestTimeOfAnAnswer(t *testing.T) {
	s := start(t, detect.Options{}, Options{Time: time.Nanosecond})
	isProblem(t, "a picture", s.ask(t, "POST", "/v1/detect?q=a", "", read(t, "images/scene-002.jpg")), http.StatusGatewayTimeout, "serve.ErrTime")
	isProblem(t, "texts", s.ask(t, "POST", "/v1/embed", asJSON, `{"texts":["a"]}`), http.StatusGatewayTimeout, "serve.ErrTime")
}

// Running requests end, new ones get 503, and readiness falls first.
func TestDrain(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	if r := s.ask(t, "GET", "/readyz", "", ""); r.status != http.StatusOK || r.body != "{\"status\":\"ready\"}\n" {
		t.Fatalf("at the start: %d %s", r.status, r.body)
	}
	s.NotReady()
	isProblem(t, "readiness", s.ask(t, "GET", "/v2/health/ready", "", ""), http.StatusServiceUnavailable, "serve.ErrEnding")
	if r := s.ask(t, "GET", "/v1/models", "", ""); r.status != http.StatusOK {
		t.Errorf("a request after NotReady: %d %s", r.status, r.body)
	}

	// A request runs as soon as its headers came.
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	body := `{"texts":["a"]}`
	fmt.Fprintf(connection, "POST /v1/embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	running := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.running
	}
	torchtest.Within(t, "requests that don't run", 0, func() int { return 1 - running() })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Drain(ended); err == nil {
		t.Error("Drain didn't wait for the running request")
	}
	isProblem(t, "a new request", s.ask(t, "GET", "/v1/models", "", ""), http.StatusServiceUnavailable, "serve.ErrEnding")
	if r := s.ask(t, "GET", "/healthz", "", ""); r.status != http.StatusOK {
		t.Errorf("the process's health: %d %s", r.status, r.body)
	}
	fmt.Fprint(connection, body)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the running request got %s", response.Status)
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReadinessTellsWhy(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	picture := read(t, "images/scene-002.jpg")
	if r := s.ask(t, "POST", "/v1/detect?q=a", "", picture); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	calls := s.detector.Stats().Calls
	if r := s.ask(t, "GET", "/readyz", "", ""); r.status != http.StatusOK || s.detector.Stats().Calls != calls {
		t.Errorf("%d %s after %d calls; want 200 without a call, since a picture was done", r.status, r.body, s.detector.Stats().Calls-calls)
	}
	s.detector.Close()
	isProblem(t, "a picture", s.ask(t, "POST", "/v1/detect?q=b", "", picture), http.StatusServiceUnavailable, "detect.ErrClosed")
	isProblem(t, "readiness", s.ask(t, "GET", "/readyz", "", ""), http.StatusServiceUnavailable, "detect.ErrClosed")
}
