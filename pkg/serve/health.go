package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/clipdet/clipdet/pkg/detect"
)

const (
	// recently is how long a success says that the models work. Probes come about as
	// often.
	recently = 10 * time.Second
	// checkTime is how long the models' known answers may take, with those that wait.
	checkTime = time.Minute
)

// readiness is whether requests will be answered.
type readiness struct {
	mu      sync.Mutex
	ended   bool
	good    time.Time // of the last success
	running *check
}

// check is one replay of the models' known answers, for all who ask meanwhile.
type check struct {
	done chan struct{}
	err  error
}

// worked notes that the models work.
func (r *readiness) worked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.good = time.Now()
}

// doubt notes an error. After a fault the models are asked again.
func (r *readiness) doubt(err error) {
	if !isFault(err) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.good = time.Time{}
}

// isFault reports whether an error puts in doubt whether the models still work.
func isFault(err error) bool {
	for _, of := range []error{detect.ErrDevice, detect.ErrOutOfMemory, detect.ErrOutput, detect.ErrClosed} {
		if errors.Is(err, of) {
			return true
		}
	}
	return problemOf(err).Error == "serve.ErrInternal"
}

// end says that the service ends.
func (r *readiness) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

// ask returns nil if the models work: if they did recently, or if they give their known
// answers now.
func (r *readiness) ask(ctx context.Context, det *detect.Detector) error {
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return ErrEnding
	}
	if time.Since(r.good) < recently {
		r.mu.Unlock()
		return nil
	}
	c := r.running
	if c == nil {
		c = &check{done: make(chan struct{})}
		r.running = c
		// It isn't of one caller. It ends soon if the detector is closed.
		go r.run(c, det)
	}
	r.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *readiness) run(c *check, det *detect.Detector) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), checkTime, fmt.Errorf("%w: the models' known answers, more than %v", ErrTime, checkTime))
	defer cancel()
	c.err = det.Check(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running = nil; c.err == nil {
		r.good = time.Now()
	}
	close(c.done)
}

// isReady is 1 if the models worked recently and the service doesn't end, for the metrics.
func (r *readiness) isReady() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.good.IsZero() {
		return 0
	}
	return 1
}

type health struct {
	Status string `json:"status"`
}

// healthz answers whether the process does.
func (h *Handler) healthz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, health{"alive"})
}

// readyz answers whether requests will be answered: 503 with the reason if not.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) error {
	err := h.ready.ask(r.Context(), h.detector)
	if err == nil {
		return writeJSON(w, http.StatusOK, health{"ready"})
	}
	if r.Context().Err() != nil {
		return err
	}
	return notReadyError{err}
}

// notReadyError is an error for which the service isn't ready, whatever its own status is.
type notReadyError struct{ error }

func (n notReadyError) Unwrap() error { return n.error }

// ready changes the problem of an error into that of a service that isn't ready.
func (p problem) ready(err error) problem {
	var n notReadyError
	if errors.As(err, &n) {
		p.Status, p.Title, p.Detail = http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable), "not ready: "+p.Detail
	}
	return p
}
