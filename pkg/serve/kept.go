package serve

import (
	"slices"
	"sync"
	"time"

	"github.com/clipdet/clipdet/pkg/detect"
)

// keptRegions holds the regions of pictures by the hash of their bytes. They are bounded
// by number, memory and time.
type keptRegions struct {
	most      int
	mostBytes int64
	long      time.Duration

	mu     sync.Mutex
	byID   map[string]*kept
	recent []*kept // the last used is the last
	bytes  int64
	closed bool
}

// kept are the regions of a picture. They are closed when they have been dropped and
// nobody uses them.
type kept struct {
	id      string
	regions *detect.Regions
	bytes   int64
	expires time.Time
	timer   *time.Timer
	users   int
	dropped bool
}

func newKeptRegions(most int, mostBytes int64, long time.Duration) *keptRegions {
	return &keptRegions{most: most, mostBytes: mostBytes, long: long, byID: make(map[string]*kept)}
}

// use returns regions and when they expire, which is put off, or false. The caller
// releases them.
func (r *keptRegions) use(id string) (*kept, time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, known := r.byID[id]
	if !known {
		return nil, time.Time{}, false
	}
	k.users++
	r.touch(k)
	return k, k.expires, true
}

// touch is called with the lock.
func (r *keptRegions) touch(k *kept) {
	k.expires = time.Now().Add(r.long)
	k.timer.Reset(r.long)
	if i := slices.Index(r.recent, k); i >= 0 {
		r.recent = slices.Delete(r.recent, i, i+1)
	}
	r.recent = append(r.recent, k)
}

// add keeps regions of so many bytes, which it then owns, and makes room for them. If the
// id is there already, it closes them. Either way the caller releases what it returns.
func (r *keptRegions) add(id string, regions *detect.Regions, bytes int64) (*kept, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, known := r.byID[id]; known { // the same picture came twice at once
		regions.Close()
		k.users++
		r.touch(k)
		return k, k.expires
	}
	k := &kept{id: id, regions: regions, bytes: bytes, users: 1}
	if r.closed {
		k.dropped = true
		return k, time.Now()
	}
	k.timer = time.AfterFunc(r.long, func() { r.expire(k) })
	r.byID[id] = k
	r.bytes += bytes
	r.touch(k)
	for len(r.recent) > 1 && (len(r.recent) > r.most || r.bytes > r.mostBytes) {
		r.remove(r.recent[0])
	}
	return k, k.expires
}

// expire drops regions whose time is over. They may have been used just before.
func (r *keptRegions) expire(k *kept) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !k.dropped && !time.Now().Before(k.expires) {
		r.remove(k)
	}
}

// drop drops regions, and reports whether they were there.
func (r *keptRegions) drop(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, known := r.byID[id]
	if known {
		r.remove(k)
	}
	return known
}

// remove is called with the lock.
func (r *keptRegions) remove(k *kept) {
	k.dropped = true
	k.timer.Stop()
	delete(r.byID, k.id)
	if i := slices.Index(r.recent, k); i >= 0 {
		r.recent = slices.Delete(r.recent, i, i+1)
	}
	r.bytes -= k.bytes
	if k.users == 0 {
		k.regions.Close()
	}
}

// release ends a use of regions.
func (r *keptRegions) release(k *kept) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k.users--; k.users == 0 && k.dropped {
		k.regions.Close()
	}
}

// size returns how many are kept, and their memory.
func (r *keptRegions) size() (n int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.recent), r.bytes
}

func (r *keptRegions) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.recent) > 0 {
		r.remove(r.recent[0])
	}
	r.closed = true
}
