package index

import (
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/model/builtin"
)

// Flags of BenchmarkSearch, which bench/search.py sets.
var (
	benchModels  = flag.String("search-models", "", "models of BenchmarkSearch; the built-in ones if empty")
	benchRegions = flag.Int("search-regions", 65_536, "regions of its index")
	benchDir     = flag.String("search-dir", "", "where its index and answer.json stay")
)

// answer is what BenchmarkSearch writes for bench/search.py.
type answer struct {
	Queries   [][]float32          `json:"queries"`
	Places    [][]int64            `json:"places"`    // by cosine, for each query, best first
	Seconds   map[string][]float64 `json:"seconds"`   // by rank and number of queries
	Processor map[string][]float64 `json:"processor"` // seconds that all threads ran
	Grown     int                  `json:"grown_kb"`
	Peak      int                  `json:"peak_kb"`
}

// BenchmarkSearch searches random vectors, with 1, 16 and 80 queries at once.
func BenchmarkSearch(b *testing.B) {
	// To models of random weights all texts are alike, which those of trained ones seldom are.
	options := detect.Options{Models: builtin.Models(), Device: "cpu", DType: model.Float32, Alike: 1}
	if *benchModels != "" {
		options.Models = model.Dir(*benchModels)
	}
	d, err := detect.Open(b.Context(), options)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	dir := *benchDir
	if dir == "" {
		dir = b.TempDir()
	}
	randomIndex(b, d, dir, *benchRegions)
	ix, err := Open(dir, OpenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	to := answer{Seconds: make(map[string][]float64), Processor: make(map[string][]float64)}
	for _, rank := range []detect.Rank{detect.RankCosine, detect.RankFused} {
		for _, n := range []int{1, 16, 80} {
			var names []detect.Query
			for i := range n {
				names = append(names, detect.Query{Name: fmt.Sprint("thing ", i), Phrases: []string{fmt.Sprint("thing ", i)}})
			}
			queries, err := d.Queries(b.Context(), names...)
			if err != nil {
				b.Fatal(err)
			}
			name := fmt.Sprint(rank, " ", n)
			b.Run(strings.ReplaceAll(name, " ", "/"), func(b *testing.B) {
				for b.Loop() {
					began, ran := time.Now(), processorTime(b)
					to.Grown = max(to.Grown, torchtest.PeakGrowth(b, func() {
						hits, err := ix.Search(b.Context(), d, queries, Params{TopK: 100, Rank: rank})
						if err != nil {
							b.Fatal(err)
						}
						if len(hits) != n || len(hits[0]) != 100 {
							b.Fatalf("%d queries have hits, the first %d", len(hits), len(hits[0]))
						}
						to.Seconds[name] = append(to.Seconds[name], time.Since(began).Seconds())
						to.Processor[name] = append(to.Processor[name], (processorTime(b) - ran).Seconds())
					}))
				}
			})
			to.Peak = max(to.Peak, torchtest.Peak(b))
			if n == 80 && rank == detect.RankCosine {
				to.Places, err = d.Nearest(b.Context(), blocks{b.Context(), ix, Params{Rank: rank}}.each, queries, detect.Params{TopK: 100, Rank: rank})
				if err != nil {
					b.Fatal(err)
				}
				if to.Queries, err = queries.Embeddings(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			queries.Close()
		}
	}
	text, err := json.Marshal(to)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "answer.json"), text, 0o600); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkIndexing compares what an index adds to a picture with the time for its regions,
// both by the processor's time, which other programs lengthen little.
func BenchmarkIndexing(b *testing.B) {
	d, err := detect.Open(b.Context(), detect.Options{Models: builtin.Models(), Device: "cpu", Threads: 1, Proposals: 100})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	paths, err := filepath.Glob("../../testdata/images/scene-00?.jpg")
	if err != nil || len(paths) == 0 {
		b.Fatal(paths, err)
	}
	images := func(yield func(image.Image, error) bool) {
		for _, path := range paths {
			file, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			picture, err := jpeg.Decode(file)
			if file.Close(); !yield(picture, err) {
				return
			}
		}
	}
	var encoded, indexed []time.Duration
	for b.Loop() {
		began := processorTime(b)
		var all []*detect.Regions
		for r, err := range d.RegionsAll(b.Context(), images) {
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, r)
		}
		between := processorTime(b)
		w, err := Create(b.TempDir(), d.Info(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		for i, r := range all {
			p, err := Look(paths[i])
			if err == nil {
				p, err = p.Read()
			}
			if err == nil {
				err = w.Append(b.Context(), p, r)
			}
			if err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		encoded, indexed = append(encoded, between-began), append(indexed, processorTime(b)-between)
	}
	each := float64(len(paths)) * 1e6
	b.ReportMetric(float64(slices.Min(encoded))/each, "regions-ms/picture")
	b.ReportMetric(float64(slices.Min(indexed))/each, "index-ms/picture")
	b.ReportMetric(100*float64(slices.Min(indexed))/float64(slices.Min(encoded)), "%more")
}

// processorTime returns the time that all threads of the process have run.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkUnchanged is a second run over 1,000 files of 100 regions each. They aren't
// pictures, so whoever decoded one would fail.
func BenchmarkUnchanged(b *testing.B) {
	d := open(b)
	dir, files := b.TempDir(), b.TempDir()
	width := d.Info().Image.Manifest.EmbeddingWidth
	w, err := Create(dir, d.Info(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	proposals := slices.Repeat([]detect.Proposal{{Box: box.Box{X1: 10, Y1: 10}, Objectness: 0.5}}, 100)
	paths := make([]string, 1000)
	for i := range paths {
		paths[i] = filepath.Join(files, fmt.Sprintf("%04d.jpg", i))
		if err := os.WriteFile(paths[i], []byte(paths[i]), 0o600); err != nil {
			b.Fatal(err)
		}
		p, err := Look(paths[i])
		if err == nil {
			p, err = p.Read()
		}
		if err == nil {
			err = w.append(p, 100, 100, proposals, make([]uint16, 100*width))
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	began := processorTime(b)
	for b.Loop() {
		if n := fill(b, d, dir, paths, Options{}); n != 0 {
			b.Fatalf("%d are encoded again", n)
		}
	}
	each := float64(b.N * len(paths))
	b.ReportMetric(float64(b.Elapsed().Microseconds())/each, "µs/picture")
	b.ReportMetric(float64((processorTime(b)-began).Microseconds())/each, "processor-µs/picture")
}

// randomIndex writes an index of random unit vectors, unless it is there.
func randomIndex(b *testing.B, d *detect.Detector, dir string, regions int) {
	b.Helper()
	if ix, err := Open(dir, OpenOptions{}); err == nil && ix.Stats().Regions == int64(regions) {
		return
	}
	w, err := Create(dir, d.Info(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	const each = 100 // regions of a picture
	random := rand.New(rand.NewPCG(5, 6))
	width := d.Info().Image.Manifest.EmbeddingWidth
	for first := 0; first < regions; first += each {
		n := min(each, regions-first)
		proposals := slices.Repeat([]detect.Proposal{{Box: box.Box{X1: 10, Y1: 10}, Objectness: 0.5}}, n)
		values := make([]uint16, 0, n*width)
		for range n {
			row, length := make([]float64, width), 0.0
			for k := range row {
				row[k] = random.NormFloat64()
				length += row[k] * row[k]
			}
			for _, v := range row {
				values = append(values, half(v/math.Sqrt(length)))
			}
		}
		p := Picture{Path: fmt.Sprintf("%07d.jpg", first/each), Bytes: 1, SHA256: fmt.Sprintf("%064d", first)}
		if err := w.append(p, 100, 100, proposals, values); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

// half returns the float16 next to v below it in size, for |v| < 1.
func half(v float64) uint16 {
	bits := math.Float32bits(float32(v))
	sign, exponent := uint16(bits>>16)&0x8000, int(bits>>23&0xff)-127+15
	if exponent <= 0 {
		return sign // too small to matter
	}
	return sign | uint16(exponent)<<10 | uint16(bits>>13)&0x3ff //nolint:gosec // below 31
}
