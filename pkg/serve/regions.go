package serve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/clipdet/clipdet/pkg/detect"
)

// regionsAnswer describes kept regions.
type regionsAnswer struct {
	ID      string       `json:"id"`
	Width   int          `json:"width"`
	Height  int          `json:"height"`
	Boxes   [][5]float32 `json:"boxes"`
	Expires time.Time    `json:"expires"`
}

func describeRegions(k *kept, expires time.Time) regionsAnswer {
	width, height := k.regions.Size()
	return regionsAnswer{k.id, width, height, boxesOf(k.regions.Proposals()), expires.UTC().Truncate(time.Second)}
}

// keep answers POST /v1/regions.
func (h *Handler) keep(w http.ResponseWriter, r *http.Request) error {
	kind, err := mediaType(r)
	if err != nil {
		return err
	}
	if r.URL.RawQuery != "" {
		return wrong("there are no parameters; what to find is asked of the regions")
	}
	body, err := h.openBody(w, r)
	if err != nil {
		return err
	}
	defer body.release()
	data, err := pictureOf(kind, body)
	if err != nil {
		return err
	}
	came(w)
	sum := sha256.Sum256(data)
	id := hex.EncodeToString(sum[:])
	k, expires, known := h.kept.use(id)
	status := http.StatusOK
	if !known {
		if k, expires, err = h.encode(r, id, data); err != nil {
			return err
		}
		status = http.StatusCreated
		w.Header().Set("Location", "regions/"+id) // relative, since a prefix may have been stripped
	}
	defer h.kept.release(k)
	return writeJSON(w, status, describeRegions(k, expires))
}

// encode finds the regions of a picture and keeps them. The caller releases them.
func (h *Handler) encode(r *http.Request, id string, data []byte) (*kept, time.Time, error) {
	if err := h.places.take(1); err != nil {
		return nil, time.Time{}, err
	}
	defer h.places.giveBack(1)
	ctx, cancel := h.limited(r.Context())
	defer cancel()
	img, release, err := h.decode(ctx, data)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer release()
	regions, err := h.detector.Regions(ctx, img)
	if err != nil {
		return nil, time.Time{}, err
	}
	h.ready.worked()
	// An embedding is float32 [K,D], an objectness is there and here, and a box is here.
	const perRegion = 4 + 4 + 16
	n := int64(len(regions.Proposals()))
	k, expires := h.kept.add(id, regions, 1024+n*(4*int64(h.detector.Info().Image.Manifest.EmbeddingWidth)+perRegion))
	return k, expires, nil
}

// use returns kept regions. The caller releases them.
func (h *Handler) use(id string) (*kept, time.Time, error) {
	k, expires, known := h.kept.use(id)
	if !known {
		return nil, expires, fmt.Errorf("%w: no regions %.80q are kept, or no more; post the picture again", ErrNotFound, id)
	}
	return k, expires, nil
}

// look answers GET /v1/regions/{id}.
func (h *Handler) look(w http.ResponseWriter, _ *http.Request, id string) error {
	k, expires, err := h.use(id)
	if err != nil {
		return err
	}
	defer h.kept.release(k)
	return writeJSON(w, http.StatusOK, describeRegions(k, expires))
}

// drop answers DELETE /v1/regions/{id}.
func (h *Handler) drop(w http.ResponseWriter, _ *http.Request, id string) error {
	if !h.kept.drop(id) {
		return fmt.Errorf("%w: no regions %.80q are kept", ErrNotFound, id)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// match answers POST /v1/regions/{id}/match.
func (h *Handler) match(w http.ResponseWriter, r *http.Request, id string) error {
	body, err := h.openBody(w, r)
	if err != nil {
		return err
	}
	defer body.release()
	data, err := jsonOf(r, body)
	if err != nil {
		return err
	}
	a, err := matchAsked(r.URL.RawQuery, data, h.options)
	if err != nil {
		return err
	}
	came(w)
	k, _, err := h.use(id)
	if err != nil {
		return err
	}
	defer h.kept.release(k)
	if err := h.places.take(1); err != nil {
		return err
	}
	defer h.places.giveBack(1)
	ctx, cancel := h.limited(r.Context())
	defer cancel()
	queries, err := h.asked.get(ctx, h.detector, a.queries)
	if err != nil {
		return err
	}
	defer h.asked.release(queries)
	result, err := k.regions.Match(ctx, queries.Queries, a.params)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, recordOf(a.name, result, a.boxes))
}

// matchAsked reads what to find, from JSON if there is some, and else from the URL, which
// may have the name with both.
func matchAsked(parameters string, data []byte, limits Options) (asked, error) {
	if len(data) == 0 {
		return fromURL(parameters, matchFields, limits)
	}
	a, err := fromJSON(data, matchFields, limits)
	if err != nil {
		return a, err
	}
	values, err := url.ParseQuery(parameters)
	switch {
	case err != nil:
		return a, wrong("the parameters: %w", err)
	case values.Has("name") && len(values) == 1 && len(values["name"]) == 1 && len(values.Get("name")) <= maxText && values.Get("name") != "":
		a.name = values.Get("name")
	case len(values) > 0:
		return a, wrong("what to find is in the body and in the URL; give it once")
	}
	return a, nil
}

// done notes a picture that was detected.
func (h *Handler) done(since time.Time, timings detect.Timings) {
	h.ready.worked()
	h.metrics.picture(time.Since(since), timings)
}
