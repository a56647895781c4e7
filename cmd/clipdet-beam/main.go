// Command clipdet-beam does the shards of a list of pictures on a cluster, by Apache Beam.
//
// Run "clipdet-beam --help" for its usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx" // the runners

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/orphan"
	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/pipeline"
	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/shard"
	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/store"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/index"
)

// The exit codes are the command clipdet's.
const (
	codeDone   = 0
	codeInputs = 1 // some pictures or shards failed, the others are done
	codeUsage  = 2
)

func main() {
	job, file := addFlags(flag.CommandLine)
	flag.Parse()
	if flag.Lookup("worker").Value.String() == "true" {
		staging := flag.Lookup("semi_persist_dir").Value.String()
		dropStaged(staging)
		orphan.Watch(func() {
			if staging != sharedStaging {
				_ = os.RemoveAll(staging) // best effort
			}
			os.Exit(codeInputs)
		})
	}
	beam.Init() // doesn't return in a worker
	os.Exit(run(context.Background(), job, *file))
}

// sharedStaging is the staging folder of a boot program that wasn't given one of its own.
const sharedStaging = "/tmp"

// dropStaged removes the two copies of this program that boot has made to start it, since
// nothing else does, and each worker of each job has two.
func dropStaged(staging string) {
	if self, err := os.Executable(); err == nil {
		if copied, err := filepath.Match("/tmp/bin*/worker", self); err == nil && copied {
			_ = os.RemoveAll(filepath.Dir(self)) // best effort
		}
	}
	if staging != sharedStaging {
		_ = os.RemoveAll(filepath.Join(staging, "staged"))
	}
}

// words is a flag that can be given several times.
type words []string

func (w *words) String() string { return strings.Join(*w, ", ") }

func (w *words) Set(word string) error {
	*w = append(*w, word)
	return nil
}

// addFlags defines the flags of a job. Beam's own are there already. It also returns the
// file of --queries.
func addFlags(flags *flag.FlagSet) (*shard.Job, *string) {
	job := &shard.Job{}
	flags.StringVar(&job.Mode, "mode", shard.Detect, "detect, index for 'clipdet search', or eval for 'clipdet eval merge'")
	flags.StringVar(&job.List, "list", "", "`FILE` of the pictures' paths or URLs, one a line, which all workers can read")
	flags.StringVar(&job.Out, "out", "", "write the shards into `DIR`, which all workers share")
	flags.StringVar(&job.Dead, "dead", "", "write the dead letters into `DIR` (default: dead in --out)")
	flags.IntVar(&job.Shards, "shards", 0, "cut the list into `N` shards; a killed worker loses those that it has in hand")
	flags.IntVar(&job.Tries, "tries", 3, "try a shard `N` times before it is a dead letter")
	flags.Var((*words)(&job.Queries), "q", "what to find, `NAME` or NAME=PHRASE|PHRASE|-PHRASE|@FILE; give it once for each thing")
	file := flags.String("queries", "", "also find what `FILE` names, as clipdet detect does")
	flags.StringVar(&job.Models, "models", "", "`DIR` of the models, or a lock file in it, on each worker (default: the built-in models)")
	flags.StringVar(&job.Device, "device", "auto", "`DEVICE` of the workers: auto, cpu or cuda:N")
	flags.StringVar(&job.DType, "dtype", detect.Unmeasured, "`TYPE` of the models' weights; auto may choose another on each worker")
	flags.IntVar(&job.Threads, "threads", 0, "CPU threads of one operation, `N`; 0 is OMP_NUM_THREADS, or else one for each processor")
	flags.IntVar(&job.Proposals, "proposals", 0, "at most `N` candidate boxes of a picture (default: 300, and 100 for an index)")
	job.Params.Threshold = modesThreshold
	flags.Func("threshold", fmt.Sprintf("least `SCORE` of a detection; 0 keeps all (default: %v, and 0 for eval)", detect.DefaultThreshold), func(text string) error {
		score, err := strconv.ParseFloat(text, 32)
		if err == nil && !(score >= 0 && score <= 1) {
			err = errors.New("want 0 to 1")
		}
		job.Params.Threshold = float32(score)
		return err
	})
	flags.IntVar(&job.Params.TopK, "top-k", 0, "at most `N` boxes of each query, the best; 0 is all")
	flags.IntVar(&job.ShardRegions, "shard-regions", index.DefaultShardRegions, "write a file of the index when it has `N` regions")
	flags.StringVar(&job.Annotations, "annotations", "", "for eval: ground truth, COCO's instances, a JSON `FILE`; its pictures are done, and its categories asked for")
	flags.StringVar(&job.Images, "images", "", "for eval: `DIR` of the pictures, as the annotations' file_names are from there")
	return job, file
}

const (
	modesThreshold = -1  // is that of the mode
	defaultRegions = 100 // of a picture in an index, as clipdet index has it
	mostQueryBytes = 1 << 30
)

// run runs the job and returns the exit code.
func run(ctx context.Context, job *shard.Job, file string) int {
	if err := complete(ctx, job, file); err != nil {
		fmt.Fprintf(os.Stderr, "clipdet-beam: %v\nRun 'clipdet-beam --help' for usage.\n", err)
		return codeUsage
	}
	runner := *runners.Runner
	if runner == "" {
		runner = "prism"
	}
	if _, err := beam.Run(ctx, runner, pipeline.New(*job)); err != nil {
		fmt.Fprintf(os.Stderr, "clipdet-beam: %v\nShards that were done are kept. When that is mended, the same command does the others.\n", err)
		return codeInputs
	}
	if *jobopts.Async {
		return codeDone
	}
	left, err := job.Report(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "clipdet-beam: the job has ended, and what it has left can't be read: %v\n", err)
		return codeInputs
	}
	fmt.Fprintf(os.Stderr, "clipdet-beam: %d of %d shards are done; %d dead letters\n", left.Done, job.Shards, left.Letters)
	if left.Done < job.Shards || left.Letters > 0 {
		fmt.Fprintf(os.Stderr, "clipdet-beam: what failed is in %s\n", job.Dead)
		return codeInputs
	}
	return codeDone
}

// complete reads the files that the flags name, and checks what can be checked here.
func complete(ctx context.Context, job *shard.Job, file string) (err error) {
	if flag.NArg() > 0 {
		return fmt.Errorf("%q is no flag, and what follows it isn't read: pictures are named by --list FILE", flag.Arg(0))
	}
	if file != "" {
		if job.File, err = store.Read(ctx, file, mostQueryBytes); err != nil {
			return fmt.Errorf("--queries: %w", err)
		}
	}
	// Workers run in other folders.
	for _, path := range []*string{&job.List, &job.Out, &job.Dead, &job.Models, &job.Annotations, &job.Images} {
		if *path != "" && !strings.Contains(*path, "://") {
			if *path, err = filepath.Abs(*path); err != nil {
				return err
			}
		}
	}
	if job.Dead == "" && job.Out != "" {
		job.Dead = store.Join(job.Out, "dead")
	}
	if job.Proposals == 0 {
		job.Proposals = detect.DefaultProposals
		if job.Mode == shard.Index {
			job.Proposals = defaultRegions
		}
	}
	if job.Params.Threshold == modesThreshold {
		job.Params.Threshold = detect.DefaultThreshold
		if job.Mode == shard.Eval {
			job.Params.Threshold = 0
		}
	}
	if err := job.Check(); err != nil {
		return err
	}
	job.Listed, err = job.Digest(ctx)
	return err
}
