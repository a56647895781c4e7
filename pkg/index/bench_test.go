package index

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	Queries [][]float32          `json:"queries"`
	Places  [][]int64            `json:"places"`  // by cosine, for each query, best first
	Seconds map[string][]float64 `json:"seconds"` // by rank and number of queries
	Grown   int                  `json:"grown_kb"`
	Peak    int                  `json:"peak_kb"`
}

// BenchmarkSearch searches random vectors, with 1, 16 and 80 queries at once.
func BenchmarkSearch(b *testing.B) {
	options := detect.Options{Models: builtin.Models(), Device: "cpu", DType: model.Float32}
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
	to := answer{Seconds: make(map[string][]float64)}
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
					began := time.Now()
					to.Grown = max(to.Grown, torchtest.PeakGrowth(b, func() {
						hits, err := ix.Search(b.Context(), d, queries, Params{TopK: 100, Rank: rank})
						if err != nil {
							b.Fatal(err)
						}
						if len(hits) != n || len(hits[0]) != 100 {
							b.Fatalf("%d queries have hits, the first %d", len(hits), len(hits[0]))
						}
						to.Seconds[name] = append(to.Seconds[name], time.Since(began).Seconds())
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
