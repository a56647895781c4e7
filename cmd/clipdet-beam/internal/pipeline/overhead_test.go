package pipeline

import (
	"flag"
	"image"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/shard"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/pixels"
)

var overhead = flag.Int("overhead", 0, "how many pictures TestOverhead does in each round, with the built-in models; from 1 on it holds the overhead")

func TestMain(m *testing.M) {
	flag.Parse()
	beam.Init()
	os.Exit(m.Run())
}

const (
	rounds       = 3
	shards       = 4
	mostOverhead = 1.05
	// few pictures of the tiny models show that the test itself works.
	few        = 8
	tinyModels = "../../../../testdata/models/tiny"
)

// TestOverhead compares the time of a job on Prism with DetectAll's for the same pictures,
// by turns, since other programs may use the processors too. Both have one thread, and
// their models loaded but for the first round.
func TestOverhead(t *testing.T) {
	held := *overhead > 0
	n := max(*overhead, few)
	scenes, err := filepath.Glob("../../../../testdata/images/*.jpg")
	if err != nil || len(scenes) == 0 {
		t.Fatalf("no pictures in testdata: %v", err)
	}
	var paths []string
	for i := range n {
		paths = append(paths, scenes[i%len(scenes)])
	}
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte(strings.Join(paths, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	job := shard.Job{
		Mode: shard.Detect, List: list, Shards: shards, Tries: 1, Queries: []string{"owl", "camera"},
		Device: "cpu", DType: model.Float32, Threads: 1, Proposals: detect.DefaultProposals,
	}
	models := builtin.Models()
	if !held {
		models, job.Models = model.Dir(tinyModels), tinyModels
	}
	job.Out = filepath.Join(t.TempDir(), "out")
	job.Dead = filepath.Join(job.Out, "dead")
	if _, job.Listed, err = shard.ReadList(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	detector, err := detect.Open(t.Context(), detect.Options{Models: models, Device: "cpu", DType: model.Float32, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer detector.Close()
	queries, err := detector.Queries(t.Context(), detect.Query{Name: "owl"}, detect.Query{Name: "camera"})
	if err != nil {
		t.Fatal(err)
	}
	defer queries.Close()

	var alone, piped spent
	for round := range rounds {
		if err := os.RemoveAll(job.Out); err != nil {
			t.Fatal(err)
		}
		alone.add(t, func() {
			for _, err := range detector.DetectAll(t.Context(), decoded(paths), queries, detect.Params{}) {
				if err != nil {
					t.Fatal(err)
				}
			}
		})
		piped.add(t, func() {
			if _, err := beam.Run(t.Context(), "prism", New(job)); err != nil {
				t.Fatal(err)
			}
		})
		if got, err := job.Report(t.Context()); err != nil || got != (shard.Report{Done: shards}) {
			t.Fatalf("the job has left %+v, %v; want %d shards", got, err, shards)
		}
		t.Logf("the best after round %d: DetectAll %v, Prism %v", round+1, alone.wall, piped.wall)
	}
	t.Logf("%d pictures: DetectAll %v of the processors, Prism %v", n, alone.processors, piped.processors)
	ratio := float64(piped.wall) / float64(alone.wall)
	t.Logf("ratio %.3f, and %.3f of the processors' time", ratio, float64(piped.processors)/float64(alone.processors))
	if held && ratio > mostOverhead {
		t.Errorf("a job takes %.3f of DetectAll's time, want at most %v", ratio, mostOverhead)
	}
}

// decoded returns the pictures of paths.
func decoded(paths []string) func(yield func(image.Image, error) bool) {
	return func(yield func(image.Image, error) bool) {
		for _, path := range paths {
			if !yield(pixels.DecodeFile(path, pixels.Limits{})) {
				return
			}
		}
	}
}

// spent is the least time of several rounds.
type spent struct{ wall, processors time.Duration }

func (s *spent) add(t *testing.T, do func()) {
	t.Helper()
	since, before := time.Now(), processorTime(t)
	do()
	wall, processors := time.Since(since), processorTime(t)-before
	if s.wall == 0 || wall < s.wall {
		s.wall = wall
	}
	if s.processors == 0 || processors < s.processors {
		s.processors = processors
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
