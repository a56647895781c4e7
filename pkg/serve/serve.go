package serve

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/clipdet/clipdet/pkg/detect"
)

// Handler answers requests for a detector. It may serve any number of them at once, and
// be behind any middleware, or under a prefix with http.StripPrefix. Close frees what it
// keeps; the detector stays the caller's.
type Handler struct {
	detector *detect.Detector
	options  Options
	access   access
	places   *places
	bodies   *semaphore.Weighted // bytes
	pictures *semaphore.Weighted // bytes of decoded pictures, and of hits
	decoders chan struct{}
	kept     *keptRegions
	asked    *askedQueries
	searched *searched
	metrics  *metrics
	ready    readiness

	mu       sync.Mutex
	running  int           // requests of the API
	draining bool          // no new ones
	idle     chan struct{} // closed if draining and none runs
}

// New returns a handler for a detector. The caller closes the handler, and then the
// detector. It fails with ErrOption if an option is out of range, with index.ErrModels if
// Options.Index is of other models, and with an error of Options.Registry if that has a
// handler's metrics already.
func New(detector *detect.Detector, options Options) (*Handler, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if options.Index != nil {
		if err := options.Index.Check(detector.Info()); err != nil {
			return nil, fmt.Errorf("serve: %w", err)
		}
	}
	h := &Handler{
		detector: detector,
		options:  options,
		places:   newPlaces(options.Queue),
		bodies:   semaphore.NewWeighted(options.Memory),
		pictures: semaphore.NewWeighted(options.Memory),
		decoders: make(chan struct{}, runtime.GOMAXPROCS(0)),
		kept:     newKeptRegions(options.Kept, options.KeptBytes, options.KeepFor),
		asked:    newAskedQueries(),
		searched: &searched{now: options.Index, again: options.OpenIndex},
		idle:     make(chan struct{}),
	}
	if h.access, err = newAccess(options); err != nil {
		return nil, err
	}
	if h.metrics, err = newMetrics(h); err != nil {
		return nil, fmt.Errorf("serve: metrics: %w", err)
	}
	return h, nil
}

// answer answers a request. If it fails before it wrote anything, its error is sent.
type answer func(http.ResponseWriter, *http.Request) error

// route is a path of the service.
type route struct {
	path    string // as openapi.json has it
	methods map[string]answer
	open    bool // without a token
	counted bool // is of the API: it is refused while draining, and may be called by other sites
}

// find returns the route of a path.
func (h *Handler) find(path string) route {
	get := func(f answer) map[string]answer { return map[string]answer{http.MethodGet: f} }
	post := func(f answer) map[string]answer { return map[string]answer{http.MethodPost: f} }
	switch path {
	case "/v1/detect":
		return route{path: path, methods: post(h.detect), counted: true}
	case "/v1/regions":
		return route{path: path, methods: post(h.keep), counted: true}
	case "/v1/embed":
		return route{path: path, methods: post(h.embed), counted: true}
	case "/v1/search":
		return route{path: path, methods: post(h.search), counted: true}
	case "/v1/models":
		return route{path: path, methods: get(h.models), counted: true}
	case "/metrics":
		return route{path: path, methods: get(h.metrics.serve)}
	case "/healthz", "/v2/health/live":
		return route{path: path, methods: get(h.healthz), open: true}
	case "/readyz", "/v2/health/ready":
		return route{path: path, methods: get(h.readyz), open: true}
	case "/openapi.json":
		return route{path: path, methods: get(describe), open: true}
	}
	if rest, ok := strings.CutPrefix(path, "/v1/regions/"); ok {
		id, match := strings.CutSuffix(rest, "/match")
		switch {
		case match && !strings.Contains(id, "/"):
			return route{path: "/v1/regions/{id}/match", counted: true, methods: post(func(w http.ResponseWriter, r *http.Request) error { return h.match(w, r, id) })}
		case !match && !strings.Contains(id, "/"):
			return route{path: "/v1/regions/{id}", counted: true, methods: map[string]answer{
				http.MethodGet:    func(w http.ResponseWriter, r *http.Request) error { return h.look(w, r, id) },
				http.MethodDelete: func(w http.ResponseWriter, r *http.Request) error { return h.drop(w, r, id) },
			}}
		}
	}
	return route{path: "page", methods: get(page), open: true}
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	leaveBody(w, r)
	to := h.find(r.URL.Path)
	h.observed(w, r, to.path, func(w http.ResponseWriter, r *http.Request) error { return h.admit(w, r, to) })
}

// admit answers a request that may be answered.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request, to route) error {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if to.counted && h.access.preflight(w, r) {
		return nil
	}
	do, known := to.methods[method]
	if !known {
		allow := []string{http.MethodOptions}
		for m := range to.methods {
			allow = append(allow, m)
		}
		slices.Sort(allow)
		w.Header().Set("Allow", strings.Join(allow, ", "))
		if method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		return fmt.Errorf("%w: %.20q; it has %s", ErrMethod, r.Method, strings.Join(allow, ", "))
	}
	if !to.open {
		if err := h.access.check(w, r); err != nil {
			return err
		}
	}
	if to.counted {
		if err := h.enter(); err != nil {
			w.Header().Set("Connection", "close")
			return err
		}
		defer h.leave()
	}
	return do(w, r)
}

func describe(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(openAPI)
	return err
}

func (h *Handler) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return fmt.Errorf("%w: ask another, or this one again later", ErrEnding)
	}
	h.running++
	return nil
}

func (h *Handler) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running--
	h.mayBeIdle()
}

// mayBeIdle is called with the lock.
func (h *Handler) mayBeIdle() {
	if !h.draining || h.running > 0 {
		return
	}
	select {
	case <-h.idle:
	default:
		close(h.idle)
	}
}

// NotReady lets /readyz answer 503 from now on, so that a load balancer sends no more
// requests. Those that come are still answered.
func (h *Handler) NotReady() { h.ready.end() }

// Drain refuses new requests of the API with 503, and waits until the running ones have
// ended. It returns the cause if ctx ends before. Then they are still running.
func (h *Handler) Drain(ctx context.Context) error {
	h.NotReady()
	h.mu.Lock()
	h.draining = true
	h.mayBeIdle()
	h.mu.Unlock()
	select {
	case <-h.idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close refuses new requests, and frees the regions and queries that are kept, those in
// use when their request ends. The metrics leave Options.Registry. It may be called more
// than once.
func (h *Handler) Close() error {
	h.NotReady()
	h.mu.Lock()
	h.draining = true
	h.mayBeIdle()
	h.mu.Unlock()
	h.kept.close()
	h.asked.close()
	h.metrics.close()
	return nil
}
