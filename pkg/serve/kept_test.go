package serve

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
)

func (s service) keepPicture(t *testing.T, data string) (id string) {
	t.Helper()
	if r := s.ask(t, "POST", "/v1/regions", "", data); r.status/100 != 2 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

func (s service) isKept(id string) bool {
	k, _, known := s.kept.use(id)
	if known {
		s.kept.release(k)
	}
	return known
}

func TestKeptRegionsAreBounded(t *testing.T) {
	s := start(t, detect.Options{}, Options{Kept: 2})
	a, b, c := read(t, "photos/cat.jpg"), read(t, "photos/coffee.jpg"), read(t, "images/scene-002.jpg")
	first, second := s.keepPicture(t, a), s.keepPicture(t, b)
	s.keepPicture(t, a) // so that the second was not used for longer
	third := s.keepPicture(t, c)
	for id, want := range map[string]bool{first: true, second: false, third: true} {
		if got := s.isKept(id); got != want {
			t.Errorf("%s is kept: %v, want %v", id, got, want)
		}
	}
	// What is larger than all memory is kept alone, since its client will ask for it.
	small := start(t, detect.Options{}, Options{KeptBytes: 1})
	first, second = small.keepPicture(t, a), small.keepPicture(t, b)
	if n, _ := small.kept.size(); n != 1 || small.isKept(first) || !small.isKept(second) {
		t.Errorf("%d are kept, want the last alone", n)
	}
}

func TestKeptRegionsExpire(t *testing.T) {
	s := start(t, detect.Options{}, Options{KeepFor: time.Millisecond})
	id := s.keepPicture(t, read(t, "photos/cat.jpg"))
	torchtest.Within(t, "kept regions", 0, func() int { n, _ := s.kept.size(); return n })
	if n, bytes := s.kept.size(); n != 0 || bytes != 0 {
		t.Errorf("%d regions of %d bytes are kept", n, bytes)
	}
	isProblem(t, "after its time", s.ask(t, "GET", "/v1/regions/"+id, "", ""), http.StatusNotFound, "serve.ErrNotFound")
}

// Regions that are dropped while a request uses them are closed when it ends.
func TestRegionsInUseStayOpen(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	id := s.keepPicture(t, read(t, "photos/cat.jpg"))
	queries, err := s.detector.Queries(t.Context(), detect.Query{Name: "cat"})
	if err != nil {
		t.Fatal(err)
	}
	defer queries.Close()
	k, _, known := s.kept.use(id)
	if !known {
		t.Fatal("they aren't kept")
	}
	if r := s.ask(t, "DELETE", "/v1/regions/"+id, "", ""); r.status != http.StatusNoContent || r.body != "" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.Handler.Close()
	if _, err := k.regions.Match(t.Context(), queries, detect.Params{}); err != nil {
		t.Errorf("in use: %v", err)
	}
	s.kept.release(k)
	if _, err := k.regions.Match(t.Context(), queries, detect.Params{}); err == nil {
		t.Error("they are open after their last use")
	}
}

// What many ask is embedded once, and kept within bounds.
func TestAskedQueriesAreKept(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	id := s.keepPicture(t, read(t, "photos/cat.jpg"))
	ask := func(text string) {
		t.Helper()
		if r := s.ask(t, "POST", "/v1/regions/"+id+"/match?q="+text, "", ""); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	ask("cat")
	before := s.detector.Stats().Phrases
	ask("cat&threshold=0.1")
	if n := s.detector.Stats().Phrases - before; n != 0 {
		t.Errorf("%d phrases were embedded again", n)
	}
	ask("cat=cat") // the same name with a phrase of its own is another
	if s.detector.Stats().Phrases == before {
		t.Error("other phrases weren't embedded")
	}
	for i := range maxAsked + 5 {
		ask("x=" + strings.Repeat("y", i+1))
	}
	if n := len(s.asked.recent); n != maxAsked {
		t.Errorf("%d are kept, want %d", n, maxAsked)
	}
	ask("z=z" + strings.Repeat("|z", 900)) // it would take the others' room
	if n := len(s.asked.recent); n != maxAsked {
		t.Errorf("%d are kept after a large one, want %d", n, maxAsked)
	}
	rows := 0
	for _, q := range s.asked.recent {
		rows += q.rows
	}
	if rows != s.asked.rows {
		t.Errorf("%d rows are counted, and there are %d", s.asked.rows, rows)
	}
}
