package main

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
)

// job is a list of pictures in shards, and the workers that do them. Times are seconds.
type job struct {
	pictures, shard, workers int

	picture  float64 // mean time of a picture
	spread   float64 // standard deviation of the logarithm of a picture's time
	overhead float64 // of a shard, beside its pictures
	start    float64 // until a worker works, at first and after it failed
	failure  float64 // mean time between two failures of a worker, which are exponential; 0: none fails

	slow     float64 // share of the workers that take slowness times as long
	slowness float64
	copies   bool // idle workers do again what others have had for longest
}

// shards returns the number of shards.
func (j job) shards() int { return (j.pictures + j.shard - 1) / j.shard }

// outcome is what the time of all workers went into, in worker seconds. The sum of its
// parts is the number of workers times the duration.
type outcome struct {
	duration float64

	work     float64 // on pictures, of the copies of shards that ended first
	overhead float64
	lost     float64 // in shards that were killed, and in copies that ended second
	starting float64
	idle     float64

	kills, copies int
}

// paid returns the time that is paid for: all workers are kept until the end.
func (o outcome) paid(j job) float64 { return float64(j.workers) * o.duration }

type shard struct {
	work float64 // of a worker that isn't slow
	by   []*worker
}

type state int

const (
	starting state = iota
	running
	idle
)

type worker struct {
	state    state
	slowness float64
	shard    *shard
	since    float64 // when the state began
	next     float64 // when it ends
	fails    bool    // by a failure
	place    int     // in the heap
}

type simulation struct {
	job
	random   *rand.Rand
	now      float64
	workers  byNext
	fresh    int      // shards that nobody has begun
	returned []*shard // shards whose worker failed
	waiting  []*worker
	outcome
}

// simulate runs a job. The same seed gives the same outcome. A worker that has nothing to
// do doesn't fail, nor does one that starts.
func simulate(j job, seed uint64) outcome {
	s := &simulation{job: j, random: rand.New(rand.NewPCG(seed, 0)), fresh: j.shards()}
	for i := range j.workers {
		w := &worker{place: i}
		s.workers = append(s.workers, w)
		s.begin(w)
	}
	for left := s.fresh; left > 0; {
		w := s.workers[0]
		s.now = w.next
		switch {
		case w.state == starting:
			s.outcome.starting += s.now - w.since
			s.assign(w)
		case w.fails:
			s.fail(w)
		default:
			left--
			s.done(w)
		}
	}
	for _, w := range s.workers {
		if w.state == idle {
			s.outcome.idle += s.now - w.since
		} else {
			s.outcome.starting += s.now - w.since
		}
	}
	s.duration = s.now
	return s.outcome
}

// begin starts a worker, which may be a slow one.
func (s *simulation) begin(w *worker) {
	w.slowness = 1
	if s.random.Float64() < s.slow {
		w.slowness = s.slowness
	}
	s.enter(w, starting, s.start)
}

// enter puts a worker into a state for a time.
func (s *simulation) enter(w *worker, to state, lasts float64) {
	w.state, w.since, w.next = to, s.now, s.now+lasts
	heap.Fix(&s.workers, w.place)
}

func (s *simulation) fail(w *worker) {
	s.kills++
	s.lost += s.now - w.since
	if w.shard.by = remove(w.shard.by, w); len(w.shard.by) == 0 {
		s.returned = append(s.returned, w.shard)
	}
	w.shard = nil
	s.begin(w)
	if last := len(s.waiting) - 1; last >= 0 && len(s.returned) > 0 {
		next := s.waiting[last]
		s.waiting = s.waiting[:last]
		s.outcome.idle += s.now - next.since
		s.assign(next)
	}
}

func (s *simulation) done(w *worker) {
	s.outcome.overhead += s.job.overhead
	s.work += s.now - w.since - s.job.overhead
	by := w.shard.by
	for _, one := range by {
		if one != w {
			s.lost += s.now - one.since
		}
		one.shard = nil
	}
	for _, one := range by {
		s.assign(one)
	}
}

// assign gives a worker a shard, if there is one.
func (s *simulation) assign(w *worker) {
	switch {
	case len(s.returned) > 0:
		w.shard = s.returned[0]
		s.returned = s.returned[1:]
	case s.fresh > 0:
		s.fresh--
		pictures := s.job.shard
		if s.fresh == 0 { // the last one has the rest
			pictures = s.pictures - (s.shards()-1)*s.job.shard
		}
		w.shard = &shard{work: s.workOf(pictures)}
	case s.job.copies:
		if w.shard = s.longest(); w.shard != nil {
			s.outcome.copies++
		}
	}
	if w.shard == nil {
		s.waiting = append(s.waiting, w)
		s.enter(w, idle, math.Inf(1))
		return
	}
	w.shard.by = append(w.shard.by, w)
	lasts, fails := s.job.overhead+w.shard.work*w.slowness, math.Inf(1)
	if s.failure > 0 {
		fails = s.random.ExpFloat64() * s.failure
	}
	w.fails = fails < lasts
	s.enter(w, running, min(lasts, fails))
}

// longest returns the shard that one worker alone has had for longest.
func (s *simulation) longest() *shard {
	var found *worker
	for _, w := range s.workers {
		if w.state == running && w.shard != nil && len(w.shard.by) == 1 && (found == nil || w.since < found.since) {
			found = w
		}
	}
	if found == nil {
		return nil
	}
	return found.shard
}

// workOf draws the time of n pictures. A sum of lognormal times is taken as lognormal
// itself, with the sum's mean and variance (Fenton and Wilkinson).
func (s *simulation) workOf(n int) float64 {
	mean := float64(n) * s.picture
	variance := math.Log1p(math.Expm1(s.spread*s.spread) / float64(n)) // of the logarithm
	return mean * math.Exp(math.Sqrt(variance)*s.random.NormFloat64()-variance/2)
}

func remove(from []*worker, w *worker) []*worker {
	return slices.DeleteFunc(from, func(one *worker) bool { return one == w })
}

// byNext is a heap of workers, the one whose state ends first on top.
type byNext []*worker

func (b byNext) Len() int           { return len(b) }
func (b byNext) Less(i, j int) bool { return b[i].next < b[j].next }
func (b byNext) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].place, b[j].place = i, j
}
func (b *byNext) Push(any) {}             // workers neither come
func (b *byNext) Pop() any { return nil } // nor go
