package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/results"
)

// detect answers POST /v1/detect.
func (h *Handler) detect(w http.ResponseWriter, r *http.Request) error {
	kind, err := mediaType(r)
	if err != nil {
		return err
	}
	body, err := h.openBody(w, r)
	if err != nil {
		return err
	}
	defer body.release()
	if kind == "multipart/form-data" {
		return h.detectForm(w, r, body)
	}
	data, err := pictureOf(kind, body)
	if err != nil {
		return err
	}
	asked, err := fromURL(r.URL.RawQuery, detectFields, h.options)
	if err != nil {
		return err
	}
	came(w)
	if err := h.places.take(1); err != nil {
		return err
	}
	defer h.places.giveBack(1)
	ctx, cancel := h.limited(r.Context())
	defer cancel()
	queries, err := h.asked.get(ctx, h.detector, asked.queries)
	if err != nil {
		return err
	}
	defer h.asked.release(queries)
	record, err := h.detectOne(ctx, encoded{asked.name, data}, queries, asked)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, record)
}

// detectForm answers a form with a line for each picture, in their order.
func (h *Handler) detectForm(w http.ResponseWriter, r *http.Request, body *body) error {
	form, err := readForm(r.Header.Get("Content-Type"), body, h.options.Pictures)
	if err != nil {
		return err
	}
	var a asked
	switch {
	case form.request == nil:
		a, err = fromURL(r.URL.RawQuery, detectFields, h.options)
	case r.URL.RawQuery != "":
		err = wrong("what to find is in the part request and in the URL; give it once")
	default:
		a, err = fromJSON(form.request, detectFields, h.options)
	}
	if err != nil {
		return err
	}
	came(w)
	n := len(form.pictures)
	if err := h.places.take(n); err != nil {
		return err
	}
	left := n // places that no picture gives back
	defer func() { h.places.giveBack(left) }()
	ctx, cancel := h.limited(r.Context())
	queries, err := h.asked.get(ctx, h.detector, a.queries)
	if err != nil {
		cancel()
		return err
	}
	lines := make([]chan []byte, n)
	for i, picture := range form.pictures {
		lines[i] = make(chan []byte, 1)
		go func() {
			defer h.places.giveBack(1)
			lines[i] <- h.line(ctx, picture, queries, a)
		}()
	}
	left = 0
	written := 0
	defer func() {
		cancel()
		for _, line := range lines[written:] {
			<-line
		}
		h.asked.release(queries)
	}()
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	for _, line := range lines {
		text := <-line
		written++
		if r.Context().Err() != nil {
			return context.Cause(r.Context())
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		if err := flush.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return nil
}

// line returns the line of a picture. Its error, or a panic, is that picture's alone.
func (h *Handler) line(ctx context.Context, picture encoded, queries *shared, a asked) (text []byte) {
	fail := func(err error) []byte {
		h.ready.doubt(err)
		h.options.Logger.InfoContext(ctx, "picture failed", "error", err)
		record, err := json.Marshal(results.Of(picture.name, 0, nil, errors.New(problemOf(err).Detail)))
		if err != nil { // it is of two strings
			return []byte("{}\n")
		}
		return append(record, '\n')
	}
	defer func() {
		if p := recover(); p != nil {
			text = fail(fmt.Errorf("%w: panic: %v", ErrInternal, p))
		}
	}()
	record, err := h.detectOne(ctx, picture, queries, a)
	if err == nil {
		text, err = encode(record)
	}
	if err != nil {
		return fail(err)
	}
	return text
}

// detectOne finds queries in a picture.
func (h *Handler) detectOne(ctx context.Context, picture encoded, queries *shared, a asked) (results.Record, error) {
	img, release, err := h.decode(ctx, picture.data)
	if err != nil {
		return results.Record{}, err
	}
	defer release()
	since := time.Now()
	result, err := h.detector.Detect(ctx, img, queries.Queries, a.params)
	if err != nil {
		return results.Record{}, err
	}
	h.done(since, result.Timings)
	return recordOf(picture.name, result, a.boxes), nil
}

func recordOf(name string, result *detect.Result, boxes bool) results.Record {
	record := results.Of(name, 0, result, nil)
	if boxes {
		record.Boxes = boxesOf(result.Proposals)
	}
	return record
}

func boxesOf(proposals []detect.Proposal) [][5]float32 {
	boxes := make([][5]float32, len(proposals))
	for i, p := range proposals {
		boxes[i] = [5]float32{p.Box.X0, p.Box.Y0, p.Box.X1, p.Box.Y1, p.Objectness}
	}
	return boxes
}

// decode decodes a picture when there is memory and a processor for it. The caller calls
// release when the picture isn't read any more.
func (h *Handler) decode(ctx context.Context, data []byte) (img *pixels.RGB, release func(), err error) {
	limits := pixels.Limits{Pixels: h.options.Pixels, Bytes: h.options.Bytes}
	width, height, err := pixels.Size(data, limits)
	if err != nil {
		return nil, nil, err
	}
	const perPixel = 8 // while it is decoded, and 3 afterwards
	memory := min(perPixel*int64(width)*int64(height), h.options.Memory)
	if err := h.pictures.Acquire(ctx, memory); err != nil {
		return nil, nil, context.Cause(ctx)
	}
	select {
	case h.decoders <- struct{}{}:
	case <-ctx.Done():
		h.pictures.Release(memory)
		return nil, nil, context.Cause(ctx)
	}
	defer func() { <-h.decoders }()
	img, err = pixels.Decode(bytes.NewReader(data), limits)
	if err != nil {
		h.pictures.Release(memory)
		return nil, nil, err
	}
	return img, func() { h.pictures.Release(memory) }, nil
}

// mediaType returns the type of a body, without its parameters.
func mediaType(r *http.Request) (string, error) {
	text := r.Header.Get("Content-Type")
	if text == "" {
		return "", nil
	}
	kind, _, err := mime.ParseMediaType(text)
	if err != nil && kind == "" {
		return "", fmt.Errorf("%w: %.80q: %w", ErrMediaType, text, err)
	}
	return kind, nil
}

// pictureOf reads a body that is a picture. Its type isn't trusted: many clients send
// another.
func pictureOf(kind string, body *body) ([]byte, error) {
	if kind == "application/json" || strings.HasPrefix(kind, "multipart/") {
		return nil, fmt.Errorf("%w: %s; send the picture as it is, as image/jpeg, or as application/octet-stream", ErrMediaType, kind)
	}
	return body.read()
}

// jsonOf reads a body that is JSON, or empty.
func jsonOf(r *http.Request, body *body) ([]byte, error) {
	kind, err := mediaType(r)
	if err != nil {
		return nil, err
	}
	data, err := body.read()
	switch {
	case err != nil:
		return nil, err
	case len(data) > 0 && kind != "" && kind != "application/json":
		return nil, fmt.Errorf("%w: %s, not application/json", ErrMediaType, kind)
	}
	return data, nil
}

// encode returns JSON on one line, in which <, > and & are not escaped.
func encode(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return buffer.Bytes(), err
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	text, err := encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(text)
	return err
}
