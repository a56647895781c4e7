package detect

import (
	"container/list"
	"slices"
	"sync"
)

// textMemory keeps the embeddings of the phrases that were used last, for calls that ask
// for other words beside the same background, and for words that come again. It is safe
// for concurrent use. A textMemory of 0 phrases keeps nothing.
type textMemory struct {
	most   int
	mu     sync.Mutex
	places map[string]*list.Element
	recent list.List // of remembered, the last used first
}

type remembered struct {
	phrase    string
	embedding []float32 // [D]
}

func newTextMemory(most int) *textMemory {
	return &textMemory{most: most, places: make(map[string]*list.Element)}
}

// read copies the embedding of a phrase, and reports whether it is there.
func (m *textMemory) read(phrase string, to []float32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	place, known := m.places[phrase]
	if known {
		m.recent.MoveToFront(place)
		copy(to, place.Value.(*remembered).embedding)
	}
	return known
}

// write keeps a copy of the embedding of a phrase.
func (m *textMemory) write(phrase string, embedding []float32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.places[phrase]; known {
		return
	}
	m.places[phrase] = m.recent.PushFront(&remembered{phrase, slices.Clone(embedding)})
	for m.recent.Len() > m.most {
		oldest := m.recent.Back()
		delete(m.places, oldest.Value.(*remembered).phrase)
		m.recent.Remove(oldest)
	}
}
