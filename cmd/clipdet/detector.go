package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// defaultThreshold is on the fused score and on the probability; a cosine has another scale, and no default. It is where
// precision and recall of the built-in models meet, in styles that they were trained on and in one that was left out.
const defaultThreshold = 0.75

// modelFlags say which models run where.
type modelFlags struct {
	models string
	device string
	dtype  *choice
}

func (f *modelFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.models, "models", "", "`DIR` of the three models (default: the built-in ones)")
	_ = cmd.MarkFlagDirname("models") // fails for an unknown flag only
	f.addDevice(cmd)
	f.dtype = addChoice(cmd, "dtype", "the models' type of weights; auto is bfloat16 where there are such and the CPU multiplies it itself, else float32", model.Auto, model.Float32, model.BFloat16, model.Float16)
}

func (f *modelFlags) addDevice(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.device, "device", "auto", "`DEVICE` to run on: auto (a GPU where there is one), cpu or cuda:N")
	complete(cmd, "device", "auto", "cpu", "cuda:0")
}

var deviceName = regexp.MustCompile(`^(auto|cpu|cuda(:\d+)?)$`)

func (f *modelFlags) check() error {
	if !deviceName.MatchString(f.device) {
		return fmt.Errorf("--device %q: want auto, cpu or cuda:N", f.device)
	}
	return nil
}

func (f *modelFlags) set() model.Set {
	if f.models == "" {
		return builtin.Models()
	}
	return model.Dir(f.models)
}

// detectorFlags are the flags of every command that detects: what to look for, with which models, and what to keep.
type detectorFlags struct {
	modelFlags
	queries   []string
	templates string
	crop      *choice
	context   float64
	proposals int
	threads   int
	textCache string
	topK      int
	threshold float64
	nms       float64
	rank      *choice
	limits    limitFlags
}

// defaultTextCache lies beside the models' cache.
func defaultTextCache() string {
	models, err := model.CacheDir()
	if err != nil {
		return "" // there is no cache, then
	}
	return filepath.Join(filepath.Dir(models), "text")
}

func (f *detectorFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.queries, "query", "q", nil, "what to find: `NAME`, or NAME=PHRASE|PHRASE; give it once for each thing")
	complete(cmd, "query")
	flags.StringVar(&f.templates, "templates", "", "`FILE` of phrasings, one a line with {} for the name, # for comments (default: seven of CLIP's)")
	f.modelFlags.add(cmd)
	flags.IntVar(&f.threads, "threads", 0, "CPU threads of one operation, `N`; 0 is one for each processor, and fewer are faster where others use them")
	flags.StringVar(&f.textCache, "text-cache", defaultTextCache(), "keep the queries' embeddings in `DIR` for later runs; \"\" keeps none")
	_ = cmd.MarkFlagDirname("text-cache") // fails for an unknown flag only
	flags.IntVar(&f.proposals, "proposals", detect.DefaultProposals, "at most `N` candidate boxes of a picture")
	f.crop = addChoice(cmd, "crop", "how a box becomes CLIP's square, by its centre, its whole in another shape, or its whole with a margin",
		string(pixels.CropCLIP), string(pixels.CropSquash), string(pixels.CropPad))
	flags.Float64Var(&f.context, "crop-context", 1, "scale each box by `FACTOR` about its centre before cutting it out")
	f.rank = addChoice(cmd, "rank", "what the score is, the geometric mean of probability and objectness, or one alone",
		string(detect.RankFused), string(detect.RankProbability), string(detect.RankCosine))
	flags.Float64Var(&f.threshold, "threshold", defaultThreshold, "least `SCORE` of a detection; 0 keeps all, and -1 with --rank cosine, where it is the default")
	flags.IntVar(&f.topK, "top-k", 0, "at most `N` boxes of each query, the best; 0 is all")
	f.limits.add(flags)
	flags.Float64Var(&f.nms, "nms", detect.DefaultNMS, "drop the weaker of two boxes of a query whose overlap is more than `IOU`; 1 keeps all")
}

// plan is what the flags ask for, read and checked before any model is loaded.
type plan struct {
	options detect.Options
	queries []detect.Query
	params  detect.Params
}

// plan checks everything that can be wrong in the flags; its errors are wrong usage.
func (f *detectorFlags) plan(cmd *cobra.Command) (plan, error) {
	p := plan{
		options: detect.Options{
			Models:    f.set(),
			Device:    f.device,
			DType:     f.dtype.value,
			Proposals: f.proposals,
			Threads:   f.threads,
			TextCache: f.textCache,
			Crop:      pixels.Crop{Mode: pixels.CropMode(f.crop.value), Context: f.context},
			Logger:    logger(cmd),
			Limits:    f.limits.text(),
		},
		params: detect.Params{TopK: f.topK, Threshold: float32(f.threshold), NMS: f.nms, Rank: detect.Rank(f.rank.value)},
	}
	if p.params.Rank == detect.RankCosine && !cmd.Flags().Changed("threshold") {
		p.params.Threshold = -1
	}
	switch {
	case len(f.queries) == 0:
		return p, errors.New("nothing to find: name it with --query, as in: clipdet detect -q dog photo.jpg")
	case f.proposals < 1:
		return p, fmt.Errorf("--proposals %d: want 1 or more", f.proposals)
	case f.threads < 0:
		return p, fmt.Errorf("--threads %d: want 0 (one for each processor) or more", f.threads)
	case f.topK < 0:
		return p, fmt.Errorf("--top-k %d: want 0 (all) or more", f.topK)
	case !(f.threshold >= -1 && f.threshold <= 1):
		return p, fmt.Errorf("--threshold %v: want -1 to 1", f.threshold)
	case !(f.nms > 0 && f.nms <= 1):
		return p, fmt.Errorf("--nms %v: want an IoU above 0, up to 1, which keeps all", f.nms)
	case f.limits.check() != nil:
		return p, f.limits.check()
	case !(f.context > 0):
		return p, fmt.Errorf("--crop-context %v: want a factor above 0", f.context)
	}
	if err := p.options.Crop.Check(); err != nil {
		return p, fmt.Errorf("--crop-context: %w", err)
	}
	if err := f.check(); err != nil {
		return p, err
	}
	var err error
	if p.options.Templates, err = readTemplates(f.templates, p.options.Limits); err != nil {
		return p, err
	}
	p.params.MaxDetections = f.limits.detections
	p.queries, err = parseQueries(f.queries, p.options.Templates, p.options.Limits)
	return p, err
}

func readTemplates(path string, limits prompt.Limits) ([]string, error) {
	if path == "" {
		return prompt.Templates(), nil
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe without a writer is empty, then
	if err != nil {
		return nil, fmt.Errorf("--templates: %w", err)
	}
	defer file.Close()
	templates, err := limits.ParseTemplates(file)
	if err != nil {
		return nil, fmt.Errorf("--templates %s: %w", path, err)
	}
	return templates, nil
}

// parseQueries reads the queries and tries each on the tokenizer, so that one that is too long is found at once.
func parseQueries(args, templates []string, limits prompt.Limits) ([]detect.Query, error) {
	if len(args) > limits.Queries {
		return nil, fmt.Errorf("--query: %w: %d of them, and --max-queries is %d", prompt.ErrLimit, len(args), limits.Queries)
	}
	tokenizer, err := prompt.NewTokenizer()
	if err != nil {
		return nil, &failure{exitSetup, err}
	}
	var queries []detect.Query
	seen := map[string]bool{}
	for _, arg := range args {
		query, err := prompt.ParseQuery(arg)
		if err != nil {
			return nil, fmt.Errorf("--query: %w", err)
		}
		if seen[query.Name] {
			return nil, fmt.Errorf("--query: %q is given twice; put its phrases in one, as in NAME=PHRASE|PHRASE", query.Name)
		}
		seen[query.Name] = true
		phrases, err := query.Phrasings(templates)
		if err != nil {
			return nil, fmt.Errorf("--query %q: %w", arg, err)
		}
		for _, phrase := range phrases {
			if _, err := tokenizer.Encode(phrase); err != nil {
				return nil, fmt.Errorf("--query %q: %w", query.Name, err)
			}
		}
		queries = append(queries, query)
	}
	if err := limits.Check(templates, queries...); err != nil {
		return nil, fmt.Errorf("--query: %w", err)
	}
	return queries, nil
}

// open loads the models and embeds the queries. The caller closes the Detector, which frees the Queries too.
func (p plan) open(ctx context.Context) (*detect.Detector, *detect.Queries, error) {
	detector, err := detect.Open(ctx, p.options)
	if err != nil {
		return nil, nil, setupFailure(ctx, err)
	}
	queries, err := detector.Queries(ctx, p.queries...)
	if err != nil {
		detector.Close()
		return nil, nil, setupFailure(ctx, err)
	}
	return detector, queries, nil
}

// setupFailure tells an interruption, which leaves inputs undone, from models that don't work.
func setupFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &failure{exitInputs, errors.New("interrupted before the first picture")}
	}
	return &failure{exitSetup, errors.Join(err, errors.New("run 'clipdet doctor' to see what works here"))}
}
