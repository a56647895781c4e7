package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// body reads the body of a request within the limits of bytes, time and memory. The bytes
// count as memory until release, which may be called more than once.
type body struct {
	h     *Handler
	from  io.Reader
	bytes int64
}

// unreadTime is how long a connection stays open for a body that isn't read. A connection
// that is closed while the body comes may cost the client the answer.
const unreadTime = time.Second

// leaveBody lets the connection end unless openBody is called. Else net/http would wait
// for the body, before the answer or after it, for ever.
func leaveBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	w.Header().Set("Connection", "close")
	bodyWithin(w, unreadTime)
}

// bodyWithin limits the time of a body. Servers without deadlines, as in tests, have bodies
// in memory.
func bodyWithin(w http.ResponseWriter, long time.Duration) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(long))
}

// openBody returns the body of a request. The caller releases it.
func (h *Handler) openBody(w http.ResponseWriter, r *http.Request) (*body, error) {
	if r.ContentLength > h.options.Bytes {
		return nil, h.tooLarge()
	}
	w.Header().Del("Connection")
	bodyWithin(w, h.options.BodyTime)
	return &body{h: h, from: r.Body}, nil
}

func (h *Handler) tooLarge() error {
	return fmt.Errorf("%w: it may have %d bytes", ErrTooLarge, h.options.Bytes)
}

// Read reads the next bytes, if there is memory for them.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if n > 0 && !b.h.bodies.TryAcquire(int64(n)) {
		return 0, fmt.Errorf("%w: bodies of other requests take all memory; try again later", ErrBusy)
	}
	if b.bytes += int64(n); b.bytes > b.h.options.Bytes {
		return 0, b.h.tooLarge()
	}
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, fmt.Errorf("%w within %v", ErrBody, b.h.options.BodyTime)
	}
	return n, fmt.Errorf("%w whole: %w", ErrBody, err)
}

// read returns all of the body.
func (b *body) read() ([]byte, error) { return io.ReadAll(b) }

// came ends the time limit of the body, after which the connection only waits for the
// answer.
func came(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
}

func (b *body) release() {
	b.h.bodies.Release(b.bytes)
	b.bytes = 0
}

// limited returns the context of an answer, which ends with ErrTime.
func (h *Handler) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, h.options.Time, fmt.Errorf("%w: more than %v", ErrTime, h.options.Time))
}
