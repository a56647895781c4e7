package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/index"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// known are the errors that answers name, each with its status. An error that wraps
// several is the first of them.
var known = []struct {
	err    error
	name   string
	status int
}{
	{ErrRequest, "serve.ErrRequest", http.StatusBadRequest},
	{ErrToken, "serve.ErrToken", http.StatusUnauthorized},
	{ErrOrigin, "serve.ErrOrigin", http.StatusForbidden},
	{ErrNotFound, "serve.ErrNotFound", http.StatusNotFound},
	{ErrNoIndex, "serve.ErrNoIndex", http.StatusNotFound},
	{ErrMethod, "serve.ErrMethod", http.StatusMethodNotAllowed},
	{ErrBody, "serve.ErrBody", http.StatusRequestTimeout},
	{ErrTooLarge, "serve.ErrTooLarge", http.StatusRequestEntityTooLarge},
	{ErrMediaType, "serve.ErrMediaType", http.StatusUnsupportedMediaType},
	{ErrBusy, "serve.ErrBusy", http.StatusTooManyRequests},
	{ErrEnding, "serve.ErrEnding", http.StatusServiceUnavailable},
	{ErrTime, "serve.ErrTime", http.StatusGatewayTimeout},

	{detect.ErrPanic, "detect.ErrPanic", http.StatusInternalServerError},
	{detect.ErrOutput, "detect.ErrOutput", http.StatusInternalServerError},
	{detect.ErrClosed, "detect.ErrClosed", http.StatusServiceUnavailable},
	{detect.ErrDevice, "detect.ErrDevice", http.StatusServiceUnavailable},
	{detect.ErrOutOfMemory, "detect.ErrOutOfMemory", http.StatusServiceUnavailable},
	{detect.ErrLimit, "detect.ErrLimit", http.StatusUnprocessableEntity},
	{detect.ErrQuery, "detect.ErrQuery", http.StatusBadRequest},
	{detect.ErrOption, "detect.ErrOption", http.StatusBadRequest},
	{prompt.ErrTooLong, "prompt.ErrTooLong", http.StatusBadRequest},
	{prompt.ErrUTF8, "prompt.ErrUTF8", http.StatusBadRequest},
	{prompt.ErrPhrase, "prompt.ErrPhrase", http.StatusBadRequest},

	{pixels.ErrEmpty, "pixels.ErrEmpty", http.StatusBadRequest},
	{pixels.ErrTooLarge, "pixels.ErrTooLarge", http.StatusRequestEntityTooLarge},
	{pixels.ErrFormat, "pixels.ErrFormat", http.StatusUnsupportedMediaType},
	{pixels.ErrBroken, "pixels.ErrBroken", http.StatusUnprocessableEntity},

	{index.ErrChanged, "index.ErrChanged", http.StatusServiceUnavailable},
	{index.ErrOption, "index.ErrOption", http.StatusBadRequest},
	{index.ErrDamaged, "index.ErrDamaged", http.StatusInternalServerError},
}

// problem is an answer about an error (RFC 9457).
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Error     string `json:"error"`
	RequestID string `json:"request_id"`
}

// problemOf describes an error. Nobody outside learns more of an unknown error than that
// there was one, since its text may name files of the host.
func problemOf(err error) problem {
	for _, k := range known {
		if !errors.Is(err, k.err) {
			continue
		}
		detail := err.Error()
		if k.status == http.StatusInternalServerError || k.err == index.ErrChanged { //nolint:errorlint // it names files, too
			detail = k.err.Error() + "; the log of the service has more"
		}
		return problem{Title: http.StatusText(k.status), Status: k.status, Detail: detail, Error: k.name}
	}
	return problem{
		Title: http.StatusText(http.StatusInternalServerError), Status: http.StatusInternalServerError,
		Detail: ErrInternal.Error() + "; the log of it has more", Error: "serve.ErrInternal",
	}
}

// write sends a problem.
func (p problem) write(w http.ResponseWriter, id string) {
	p.Type, p.RequestID = "about:blank", id
	text, err := json.Marshal(p)
	if err != nil { // it is of strings and a number
		text = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(text, '\n')) // the client may have left
}

func notFound(r *http.Request) error {
	return fmt.Errorf("%w: there is nothing at %.200q; openapi.json describes what is there", ErrNotFound, r.URL.Path)
}
