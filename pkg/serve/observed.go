package serve

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/clipdet/clipdet/pkg/index"
)

// writeTime is how long a client may take to read an answer, or a line of one.
const writeTime = time.Minute

// observer is a ResponseWriter that knows what was written.
type observer struct {
	http.ResponseWriter
	status int // 0 before the first byte
	bytes  int64
}

// Unwrap is for http.ResponseController.
func (o *observer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *observer) WriteHeader(status int) {
	if o.status == 0 {
		o.status = status
	}
	o.inTime()
	o.ResponseWriter.WriteHeader(status)
}

func (o *observer) Write(p []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	o.inTime()
	n, err := o.ResponseWriter.Write(p)
	o.bytes += int64(n)
	return n, err
}

// inTime lets the client read what is written next. Servers without deadlines, as in
// tests, don't need that.
func (o *observer) inTime() {
	_ = http.NewResponseController(o.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTime))
}

// statusLeft is nginx's status, in logs and metrics alone, of a client that has left.
const statusLeft = 499

// observed answers a request with an id, logs it, and counts it. An error, or a panic,
// becomes a problem if nothing was written before.
func (h *Handler) observed(w http.ResponseWriter, r *http.Request, path string, do answer) {
	since, id := time.Now(), requestID(r)
	o := &observer{ResponseWriter: w}
	w.Header().Set("X-Request-Id", id)
	var err error
	defer func() {
		about := []any{
			slog.String("request_id", id), slog.String("method", r.Method), slog.String("route", path), slog.String("from", r.RemoteAddr),
		}
		if p := recover(); p != nil {
			h.options.Logger.ErrorContext(r.Context(), "panic", append(about, slog.Any("panic", p), slog.String("stack", string(debug.Stack())))...)
			err = ErrInternal
		}
		status, broken := h.end(o, r, id, err)
		took := time.Since(since)
		h.metrics.request(path, status, took)
		about = append(about, slog.Int("status", status), slog.Int64("bytes", o.bytes), slog.Float64("took_ms", float64(took.Microseconds())/1000))
		level := slog.LevelInfo
		if err != nil {
			about = append(about, slog.Any("error", err))
			if status >= http.StatusInternalServerError {
				level = slog.LevelError
			}
		} else if !strings.HasPrefix(path, "/v1/") {
			level = slog.LevelDebug // probes, scrapes and the page
		}
		h.options.Logger.Log(r.Context(), level, "request", about...)
		if broken {
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's way to break off an answer
		}
	}()
	err = do(o, r)
}

// end sends the error of an answer, if it can. It returns the status for the log, and
// whether an answer has begun that can't be ended well.
func (h *Handler) end(o *observer, r *http.Request, id string, err error) (status int, broken bool) {
	switch {
	case err == nil && o.status == 0:
		return http.StatusOK, false
	case err == nil:
		return o.status, false
	case r.Context().Err() != nil && !errors.Is(err, ErrBody): // a body's end in time ends the context too
		return statusLeft, o.status != 0
	case o.status != 0:
		return o.status, true
	}
	h.ready.doubt(err)
	p := problemOf(err).ready(err)
	// An index that couldn't be opened again may stay so until somebody acts.
	if (p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable) && !errors.Is(err, index.ErrChanged) {
		o.Header().Set("Retry-After", h.retryAfter())
	}
	if p.Status == http.StatusRequestTimeout {
		o.Header().Set("Connection", "close")
	}
	p.write(o, id)
	return p.Status, false
}

// requestID returns the client's id of a request, if it is short and plain, or a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	if id == "" || len(id) > 64 || strings.ContainsFunc(id, func(c rune) bool { return !plain(c) }) {
		return rand.Text()
	}
	return id
}
