package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*math.Abs(want)) {
		t.Errorf("%s is %g, want %g within %g of it", what, got, want, relative)
	}
}

// Without failures and with equal pictures a job takes as many rounds as there are shards
// for a worker.
func TestWithoutFailures(t *testing.T) {
	tests := []struct {
		pictures, shard, workers int
		rounds                   float64 // of whole shards
		last                     int     // pictures of a smaller shard that comes after them
	}{
		{1000, 10, 1, 100, 0},
		{1000, 10, 7, 15, 0},
		{1000, 10, 100, 1, 0},
		{1000, 10, 300, 1, 0},
		{1003, 10, 10, 10, 3},
		{1003, 10, 200, 1, 0},
		{5, 10, 2, 0, 5},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d in %d by %d", test.pictures, test.shard, test.workers), func(t *testing.T) {
			j := job{pictures: test.pictures, shard: test.shard, workers: test.workers, picture: 0.5, overhead: 2, start: 60}
			o := simulate(j, 1)
			want := 60 + test.rounds*(10*0.5+2)
			if test.last > 0 {
				want += float64(test.last)*0.5 + 2
			}
			near(t, "the duration", o.duration, want, 1e-9)
			near(t, "the work", o.work, j.ideal(), 1e-9)
			near(t, "the shards' overhead", o.overhead, 2*float64(j.shards()), 1e-9)
			if o.lost != 0 || o.kills != 0 || o.copies != 0 {
				t.Errorf("%g s were lost, %d shards killed, %d copied: want none", o.lost, o.kills, o.copies)
			}
		})
	}
}

// A shard that takes s is done by workers with failures of rate 1/M in (exp(s/M)-1) M of
// their time, and is killed exp(s/M)-1 times, as is known of processes that begin again.
func TestLostWork(t *testing.T) {
	const shards, mean = 200_000, 1000.0
	for _, lasts := range []float64{10, 300, 1000, 2000} {
		t.Run(fmt.Sprint(lasts), func(t *testing.T) {
			j := job{pictures: shards, shard: 1, workers: 1, picture: lasts - 5, overhead: 5, start: 50, failure: mean}
			o := simulate(j, 2)
			kills := math.Expm1(lasts / mean)
			// Kills of a shard are geometric: their variance is kills * (kills+1).
			within := 5 * math.Sqrt(kills*(kills+1)/shards) / kills
			near(t, "kills of a shard", float64(o.kills)/shards, kills, within)
			near(t, "lost time of a shard", o.lost/shards, kills*mean-lasts, 2*within)
			near(t, "time of a shard", (o.work+o.overhead+o.lost)/shards, kills*mean, within)
			near(t, "duration", (o.duration-50)/shards, j.expected(), within)
		})
	}
}

// Every second of every worker is accounted for.
func TestAllTimeIsCounted(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 9))
		j := job{
			pictures: 1 + random.IntN(5000), shard: 1 + random.IntN(100), workers: 1 + random.IntN(60),
			picture: 1, spread: random.Float64(), overhead: random.Float64() * 5, start: random.Float64() * 50,
			failure: 20 + random.Float64()*500, slow: 0.2, slowness: 3, copies: seed%2 == 0,
		}
		o := simulate(j, seed)
		near(t, fmt.Sprintf("%+v: the sum of the parts", j), o.work+o.overhead+o.lost+o.starting+o.idle, o.paid(j), 1e-9)
		near(t, "the shards' overhead", o.overhead, j.overhead*float64(j.shards()), 1e-9)
		if again := simulate(j, seed); again != o {
			t.Errorf("%+v: the same seed gives %+v and %+v", j, o, again)
		}
	}
}

// A shard's time has the mean and the variance of the sum of its pictures' times.
func TestWorkOfAShard(t *testing.T) {
	const n, draws = 50, 100_000
	s := &simulation{job: job{picture: 2, spread: 0.8}, random: rand.New(rand.NewPCG(3, 3))}
	moments := func(draw func() float64) (mean, deviation float64) {
		var sum, squares float64
		for range draws {
			x := draw()
			sum += x
			squares += x * x
		}
		mean = sum / draws
		return mean, math.Sqrt(squares/draws - mean*mean)
	}
	mean, deviation := moments(func() float64 { return s.workOf(n) })
	oneByOne, deviationOneByOne := moments(func() float64 {
		var sum float64
		for range n {
			sum += 2 * math.Exp(0.8*s.random.NormFloat64()-0.8*0.8/2)
		}
		return sum
	})
	near(t, "the mean", mean, 2*n, 0.002)
	near(t, "the mean of pictures one by one", oneByOne, 2*n, 0.002)
	near(t, "the deviation", deviation, 2*math.Sqrt(n*math.Expm1(0.8*0.8)), 0.02)
	near(t, "the deviation of pictures one by one", deviationOneByOne, deviation, 0.03)
}

// Two workers have a shard of 10 s each, and one of them takes ten times as long. The quick
// one has done a copy of the other's shard after 20 s.
func TestCopies(t *testing.T) {
	j := job{pictures: 2, shard: 1, workers: 2, picture: 10, slow: 0.5, slowness: 10}
	seed := uint64(0)
	for simulate(j, seed).duration != 100 || simulate(j, seed).idle != 90 { // until one is slow and one is not
		if seed++; seed == 100 {
			t.Fatal("no seed has one slow worker of two")
		}
	}
	j.copies = true
	o := simulate(j, seed)
	want := outcome{duration: 20, work: 20, lost: 20, copies: 1}
	if o != want {
		t.Errorf("with copies %+v, want %+v", o, want)
	}
}

// By the rule's shards, less is paid than by much smaller and much larger ones.
func TestRule(t *testing.T) {
	j := job{pictures: 1_000_000, workers: 50, picture: 0.1, spread: 0.5, overhead: 1, start: 60, failure: 7200}
	paid := func(times float64) float64 {
		sized := j
		sized.shard = int(times * j.rule() / j.picture)
		return average(sized).paid(sized)
	}
	if at, below, above := paid(1), paid(0.1), paid(10); at >= below || at >= above {
		t.Errorf("%g s are paid by the rule, %g with a tenth of its shard, %g with ten times", at, below, above)
	}
}
