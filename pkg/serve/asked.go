package serve

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/clipdet/clipdet/pkg/detect"
)

const (
	// maxAsked is the number of queries' embeddings that are kept, since clients ask the
	// same of many pictures.
	maxAsked = 64
	// maxAskedRows bounds their memory, some 4 bytes times the width of an embedding a
	// row: 32 MB at a width of 512.
	maxAskedRows = 16384
)

// askedQueries keeps the embeddings of the queries that were asked last.
type askedQueries struct {
	mu     sync.Mutex
	recent []*shared // the last used is the last
	rows   int
	closed bool
}

// shared are queries that several requests may use. The last of them closes them.
type shared struct {
	*detect.Queries
	key   [sha256.Size]byte
	rows  int
	users int // the list of recent ones is one
}

func newAskedQueries() *askedQueries { return &askedQueries{} }

// get embeds queries, or returns those that were embedded before. The caller releases
// them.
func (a *askedQueries) get(ctx context.Context, det *detect.Detector, queries []detect.Query) (*shared, error) {
	text, err := json.Marshal(queries)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInternal, err)
	}
	key := sha256.Sum256(text)
	if s := a.find(key); s != nil {
		return s, nil
	}
	made, err := det.Queries(ctx, queries...)
	if err != nil {
		return nil, err
	}
	s := &shared{Queries: made, key: key, rows: rows(queries), users: 1}
	a.add(s)
	return s, nil
}

// rows returns about how many rows the embeddings of queries have.
func rows(queries []detect.Query) int {
	const templates = 8
	longest, negatives := 0, 0
	for _, q := range queries {
		n := len(q.Phrases)
		if n == 0 {
			n = templates
		}
		longest, negatives = max(longest, n), max(negatives, len(q.Negatives))
	}
	return len(queries) * (longest + negatives + 1)
}

func (a *askedQueries) find(key [sha256.Size]byte) *shared {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.recent, func(s *shared) bool { return s.key == key })
	if i < 0 {
		return nil
	}
	s := a.recent[i]
	a.recent = append(slices.Delete(a.recent, i, i+1), s)
	s.users++
	return s
}

func (a *askedQueries) add(s *shared) {
	a.mu.Lock()
	defer a.mu.Unlock()
	twice := slices.ContainsFunc(a.recent, func(o *shared) bool { return o.key == s.key })
	if a.closed || twice || s.rows > maxAskedRows/4 {
		return
	}
	s.users++
	a.recent, a.rows = append(a.recent, s), a.rows+s.rows
	for len(a.recent) > maxAsked || a.rows > maxAskedRows {
		oldest := a.recent[0]
		a.recent, a.rows = slices.Delete(a.recent, 0, 1), a.rows-oldest.rows
		oldest.leave()
	}
}

// release ends a use of queries.
func (a *askedQueries) release(s *shared) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.leave()
}

// leave is called with the lock.
func (s *shared) leave() {
	if s.users--; s.users == 0 {
		s.Close()
	}
}

func (a *askedQueries) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.recent {
		s.leave()
	}
	a.recent, a.rows, a.closed = nil, 0, true
}
