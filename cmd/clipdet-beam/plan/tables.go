package main

import (
	"fmt"
	"math"
	"strings"
)

// inputs are what a plan is made from. All that is assumed or measured elsewhere is in
// assumed and in the constants below, and PLAN.md says where it comes from.
type inputs struct {
	pictures, workers, shard int

	rate     float64 // pictures a second of a worker
	spread   float64
	overhead float64 // seconds
	start    float64 // seconds
	failure  float64 // hours
	price    float64 // of a worker for an hour
}

func assumed() inputs {
	in := inputs{
		pictures: 1e9,
		workers:  256,
		shard:    5000,
		spread:   0.5,
		overhead: 1,
		start:    180,
		failure:  24,
		price:    0.70,
	}
	in.rate = round(gpus[0].rate(), 2)
	return in
}

// Operations of a picture, of ViT-B/32 and fasterrcnn_resnet50_fpn with 300 regions.
const (
	encodeOps  = 2600e9       // bench/PERFORMANCE.md
	cropOps    = 124e9        // the same, of a picture of 640x480, in float32
	proposeOps = 2 * 134.38e9 // torchvision's metadata has 134.38 billion multiply-adds, with heads that aren't used
	reached    = 0.4          // share of a GPU's peak: assumed
)

const (
	cpuSeconds = 7.8   // of a picture with the same models in int8: bench/PERFORMANCE.md
	pictureB   = 152e3 // bytes of a picture: COCO's train2017 has 18 GB of 118,287
	prefixGets = 5500  // requests a second that S3 gives a prefix at least, by its documentation
	regionB    = 2 * 512
)

// Measured for PLAN.md, which has the commands.
const (
	builtinSeconds = 2.4   // of one core, for a picture with the built-in models
	decodeSeconds  = 0.011 // of one core, for a JPEG of 640x480
	listB          = 100   // bytes of a path: assumed, as in CLUSTER.md
	lineB          = 918   // bytes of a line of results, with the default threshold
	fullLineB      = 10865 // the same, with the 10 best boxes of each name
	regionMetaB    = 29    // bytes of a region in an index beside its embedding
)

// gpu has peaks of dense products by NVIDIA's data sheets.
type gpu struct {
	name              string
	bfloat16, float32 float64 // operations a second
}

var gpus = []gpu{
	{"L4", 121e12, 30.3e12},
	{"A100", 312e12, 19.5e12},
	{"H200", 989e12, 67e12},
}

// rate returns pictures a second.
func (g gpu) rate() float64 {
	return reached / ((encodeOps+proposeOps)/g.bfloat16 + cropOps/g.float32)
}

func (in inputs) job() job {
	return job{
		pictures: in.pictures, shard: in.shard, workers: in.workers,
		picture: 1 / in.rate, spread: in.spread, overhead: in.overhead, start: in.start, failure: 3600 * in.failure,
	}
}

// ideal returns the worker seconds of the pictures alone.
func (j job) ideal() float64 { return float64(j.pictures) * j.picture }

// rule returns the seconds of work in a shard at which the time of shards beside their
// pictures, and the time that is lost with killed ones, together are least, by first order.
func (j job) rule() float64 { return math.Sqrt(2 * j.overhead * j.failure) }

// expected returns the worker seconds that a shard is expected to take, with all that is
// lost when its workers fail and with the start of new ones. Failures are exponential.
func (j job) expected() float64 {
	lasts := float64(j.shard)*j.picture + j.overhead
	if j.failure == 0 {
		return lasts
	}
	return math.Expm1(lasts/j.failure) * (j.failure + j.start)
}

// average simulates a job, if it has few shards several times.
func average(j job) outcome {
	n := min(max(200_000/j.shards(), 1), 20)
	var sum outcome
	for seed := range n {
		o := simulate(j, uint64(seed))
		sum.duration += o.duration / float64(n)
		sum.work += o.work / float64(n)
		sum.overhead += o.overhead / float64(n)
		sum.lost += o.lost / float64(n)
		sum.starting += o.starting / float64(n)
		sum.idle += o.idle / float64(n)
		sum.kills += o.kills
		sum.copies += o.copies
	}
	sum.kills /= n
	sum.copies /= n
	return sum
}

func (in inputs) tables() []table {
	return []table{
		{"rates", ratesTable()},
		{"storage", storageTable()},
		{"workers", in.workersTable()},
		{"shards", in.shardsTable()},
		{"failures", in.failuresTable()},
		{"stragglers", in.stragglersTable()},
	}
}

func ratesTable() string {
	t := newTable("worker", "pictures a second", "worker hours for a billion", "cores that decode", "reads, MB/s",
		"workers that fill a prefix of S3")
	row := func(name string, rate float64) {
		t.row(name, number(rate, 2), number(1e9/rate/3600, 2), number(rate*decodeSeconds, 2),
			number(rate*pictureB/1e6, 2), number(prefixGets/rate, 2))
	}
	row("2 cores, built-in models: measured", 2/builtinSeconds)
	row("2 cores, int8: measured", 1/cpuSeconds)
	for _, g := range gpus {
		row("1 "+g.name+": calculated", g.rate())
	}
	return t.String()
}

func storageTable() string {
	t := newTable("what", "bytes a picture", "a billion pictures")
	row := func(name string, bytes float64) {
		t.row(name, number(bytes, 2), number(bytes*1e9/1e12, 2)+" TB")
	}
	row("the list", listB)
	row("the pictures", pictureB)
	row("results: 5 names, the default threshold", lineB)
	row("results: 5 names, the 10 best boxes of each", fullLineB)
	for _, regions := range []float64{100, 300} {
		row(fmt.Sprintf("index, %g regions", regions), regions*(regionB+regionMetaB))
	}
	return t.String()
}

func (in inputs) workersTable() string {
	t := newTable("workers", "pictures a second", "days", "worker hours", "reads, GB/s", "paid")
	for _, workers := range []int{16, 64, 256, 1024, 4096} {
		j := in.job()
		j.workers = workers
		o := average(j)
		rate := float64(in.pictures) / o.duration
		hours := o.paid(j) / 3600
		t.row(fmt.Sprint(workers), number(rate, 3), number(o.duration/86400, 3), number(hours, 3),
			number(rate*pictureB/1e9, 2), number(hours*in.price, 3))
	}
	return t.String()
}

func (in inputs) shardsTable() string {
	t := newTable("pictures a shard", "its time", "shards", "killed", "days", "shards' own time", "lost", "idle, starting",
		"paid beyond the pictures")
	for _, size := range []int{300, 1000, 3000, 5000, 10_000, 30_000, 100_000, 300_000, 1_000_000} {
		j := in.job()
		j.shard = size
		o := average(j)
		ideal := j.ideal()
		t.row(number(float64(size), 3), span(float64(size)*j.picture), number(float64(j.shards()), 3), fmt.Sprint(o.kills),
			number(o.duration/86400, 3), percent(o.overhead/ideal), percent(o.lost/ideal),
			percent((o.idle+o.starting)/ideal), percent(o.paid(j)/ideal-1))
	}
	return t.String()
}

func (in inputs) failuresTable() string {
	t := newTable("between failures", "rule's shard", "its pictures", "paid beyond the pictures", "by the formula",
		"at a tenth", "at ten times")
	for _, hours := range []float64{6, 24, 168, 720} {
		j := in.job()
		j.failure = 3600 * hours
		rule := j.rule()
		size := func(times float64) job {
			sized := j
			sized.shard = max(1, int(times*rule/j.picture))
			return sized
		}
		beyond := func(sized job) string { return percent(average(sized).paid(sized)/sized.ideal() - 1) }
		one := size(1)
		formula := one.expected()/(float64(one.shard)*one.picture) - 1
		t.row(span(j.failure), span(rule), number(float64(one.shard), 2), beyond(one), percent(formula),
			beyond(size(0.1)), beyond(size(10)))
	}
	return t.String()
}

func (in inputs) stragglersTable() string {
	t := newTable("pictures a shard", "all alike", "one worker of 100 takes three times as long", "with copies", "copies")
	for _, size := range []int{1000, 5000, 30_000, 100_000, 300_000} {
		j := in.job()
		j.shard = size
		slow := j
		slow.slow, slow.slowness = 0.01, 3
		copied := slow
		copied.copies = true
		last := average(copied)
		t.row(number(float64(size), 3), hours(average(j)), hours(average(slow)), hours(last), fmt.Sprint(last.copies))
	}
	return t.String()
}

func hours(o outcome) string { return fmt.Sprintf("%.1f h", o.duration/3600) }

// markdown is a table in Markdown.
type markdown struct{ strings.Builder }

func newTable(heads ...string) *markdown {
	t := &markdown{}
	t.row(heads...)
	fmt.Fprintln(t, "|"+strings.Repeat("---|", len(heads)))
	return t
}

func (t *markdown) row(cells ...string) {
	fmt.Fprintln(t, "| "+strings.Join(cells, " | ")+" |")
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// round returns x with some digits that count.
func round(x float64, digits int) float64 {
	if x == 0 {
		return 0
	}
	unit := math.Pow10(int(math.Floor(math.Log10(math.Abs(x)))) + 1 - digits)
	return math.Round(x/unit) * unit
}

// number writes x with some digits that count, and commas between thousands.
func number(x float64, digits int) string {
	x = round(x, digits)
	decimals := 0
	if x != 0 {
		decimals = max(0, digits-1-int(math.Floor(math.Log10(math.Abs(x)))))
	}
	text := fmt.Sprintf("%.*f", decimals, x)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		return whole + "." + rest
	}
	return whole
}

// span writes a time in its largest unit.
func span(seconds float64) string {
	switch {
	case seconds < 120:
		return number(seconds, 2) + " s"
	case seconds < 2*3600:
		return number(seconds/60, 2) + " min"
	case seconds < 48*3600:
		return number(seconds/3600, 2) + " h"
	default:
		return number(seconds/86400, 2) + " days"
	}
}
