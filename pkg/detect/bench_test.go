package detect

import (
	"flag"
	"fmt"
	"image"
	"iter"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// benchModels names the models of all benchmarks. They report stages, images, crops and
// phrases in units of their own, for benchstat:
//
//	go test -run '^$' -bench . -count 10 ./pkg/detect [-models DIR] > new.txt
//	benchstat old.txt new.txt
var benchModels = flag.String("models", "", "directory of the models to benchmark (default: the built-in ones)")

// benchNames are eighty names, as many as COCO asks of a picture.
const benchNames = `ant apple axe banana basket bear bed bee bell bicycle boat book bottle bread bus butterfly cactus cake
camel camera candle car carrot castle cat chair cherry chicken clock cloud coin cow crab crown dog dolphin door drum
duck eagle elephant fish flower fox frog ghost gift grapes guitar hammer hat horse house key kite knife lamp leaf
lemon lion lizard lock moon mouse mushroom octopus onion owl panda peach pear pencil penguin pig pizza rabbit rocket
shoe snail tree`

// openBench opens the models of the flag, with the defaults of Open. On a GPU it waits
// for each stage, so that the stages have their own times.
func openBench(b *testing.B, options Options) *Detector {
	b.Helper()
	options.Models = builtin.Models()
	if *benchModels != "" {
		options.Models = model.Dir(*benchModels)
	}
	options.Synchronize = true
	d, err := Open(b.Context(), options)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	return d
}

// benchScene returns a picture of 640x480.
func benchScene(b *testing.B) *pixels.RGB {
	b.Helper()
	picture, err := pixels.DecodeFile("../../testdata/images/scene-020.jpg", pixels.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	return picture
}

func perSecond(b *testing.B, n int, unit string) {
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), unit+"/s")
}

// BenchmarkDetectWarm640x480 measures Detect of a decoded picture and 80 embedded
// queries, with the defaults of Open and Detect. It also reports the stages, in ms a
// picture.
func BenchmarkDetectWarm640x480(b *testing.B) {
	d := openBench(b, Options{})
	q, picture := queries(b, d, strings.Fields(benchNames)...), benchScene(b)
	var stages Timings
	var proposals int
	detect := func() {
		result, err := d.Detect(b.Context(), picture, q, Params{})
		if err != nil {
			b.Fatal(err)
		}
		proposals = len(result.Proposals)
		stages.add(result.Timings)
	}
	for range 3 {
		detect()
	}
	stages = Timings{}
	for b.Loop() {
		detect()
	}
	for stage, took := range stages {
		b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), Stage(stage).String()+"-ms")
	}
	b.ReportMetric(float64(proposals), "proposals")
	perSecond(b, b.N*proposals, "crops")
}

// BenchmarkDetectAll8 measures a stream of eight pictures, decoded from files meanwhile.
func BenchmarkDetectAll8(b *testing.B) {
	const pictures = 8
	d := openBench(b, Options{})
	q := queries(b, d, strings.Fields(benchNames)...)
	files := []string{"002", "006", "009", "011", "019", "020"}
	images := iter.Seq2[image.Image, error](func(yield func(image.Image, error) bool) {
		for i := range pictures {
			picture, err := pixels.DecodeFile("../../testdata/images/scene-"+files[i%len(files)]+".jpg", pixels.Limits{})
			if !yield(picture, err) {
				return
			}
		}
	})
	proposals := 0
	for b.Loop() {
		for result, err := range d.DetectAll(b.Context(), images, q, Params{}) {
			if err != nil {
				b.Fatal(err)
			}
			proposals += len(result.Proposals)
		}
	}
	perSecond(b, b.N*pictures, "images")
	perSecond(b, proposals, "crops")
}

// BenchmarkQueries80 measures the embedding of 80 names in all templates.
func BenchmarkQueries80(b *testing.B) { benchmarkQueries(b, "") }

// BenchmarkQueries80Cached measures Queries of 80 names that are in a cache on disk.
func BenchmarkQueries80Cached(b *testing.B) { benchmarkQueries(b, b.TempDir()) }

func benchmarkQueries(b *testing.B, cache string) {
	d := openBench(b, Options{TextCache: cache})
	var list []Query
	for _, name := range strings.Fields(benchNames) {
		list = append(list, Query{Name: name})
	}
	embed := func() int {
		q, err := d.Queries(b.Context(), list...)
		if err != nil {
			b.Fatal(err)
		}
		q.Close()
		return q.encoded
	}
	phrases := embed()
	for b.Loop() {
		embed()
	}
	perSecond(b, b.N*phrases, "phrases")
}

// BenchmarkMatch measures Match of a picture's regions and many queries: scores, top-k,
// NMS.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 80, 1200} {
		b.Run(fmt.Sprintf("queries=%d", n), func(b *testing.B) {
			d := openBench(b, Options{Templates: []string{"a {}."}})
			names := strings.Fields(benchNames)[:min(n, 80)]
			for i := len(names); i < n; i++ {
				names = append(names, fmt.Sprintf("%s %d", names[i%80], i))
			}
			q := queries(b, d, names...)
			regions, err := d.Regions(b.Context(), benchScene(b))
			if err != nil {
				b.Fatal(err)
			}
			defer regions.Close()
			for b.Loop() {
				if _, err := regions.Match(b.Context(), q, Params{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncode measures the embedding of crops in batches of several sizes.
func BenchmarkEncode(b *testing.B) {
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			d := openBench(b, Options{})
			side := int64(d.files.Image.Manifest.InputSize)
			err := d.engine.Do(b.Context(), func(s *torch.Scope) error {
				crops := torch.Upload(s, make([]float32, int64(size)*3*side*side), int64(size), 3, side, side)
				for b.Loop() {
					s.Within(func() torch.Tensor {
						d.image.Encode(s, crops)
						return torch.Tensor{}
					})
					s.Synchronize()
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			perSecond(b, b.N*size, "crops")
		})
	}
}
