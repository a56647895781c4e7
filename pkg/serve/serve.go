package serve

import (
	"net/http"

	"github.com/clipdet/clipdet/pkg/detect"
)

// Options configure a Handler.
type Options struct{}

// Handler answers the requests.
type Handler struct {
	detector *detect.Detector
	mux      *http.ServeMux
}

// New returns a handler for a detector.
func New(detector *detect.Detector, _ Options) (*Handler, error) {
	h := &Handler{detector: detector, mux: http.NewServeMux()}
	h.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI)
	})
	h.mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if err := page(w, r); err != nil {
			problemOf(err).write(w, "")
		}
	})
	return h, nil
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }
