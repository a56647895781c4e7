package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/model/builtin"
)

// defaultThreshold is on the fused score and on the probability; a cosine has another scale, and no default. It is where
// precision and recall of the built-in models meet, in styles that they were trained on and in one that was left out.
const defaultThreshold = 0.75

// modelFlags say which models run where.
type modelFlags struct {
	models string
	lock   string
	device string
	dtype  *choice
}

func (f *modelFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.models, "models", "", "`DIR` of the three models, or a lock file (*.json) beside them (default: the built-in ones)")
	cmd.Flags().StringVar(&f.lock, "lock", "", "lock `FILE` of --models that lies elsewhere; 'clipdet models lock' writes one")
	_ = cmd.MarkFlagFilename("lock", "json") // fails for an unknown flag only
	f.addDevice(cmd)
	f.dtype = addChoice(cmd, "dtype", "the models' type of weights; auto is the fastest that is there, which a CPU with instructions for bfloat16 measures once, and unmeasured the same by a rule",
		model.Auto, model.Float32, model.BFloat16, model.Float16, detect.Unmeasured)
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
	if f.lock != "" && (f.models == "" || isLock(f.models)) {
		return fmt.Errorf("--lock %s: say with --models which directory it is for", f.lock)
	}
	return nil
}

func (f *modelFlags) set() model.Set {
	switch {
	case f.models == "":
		return builtin.Models()
	case f.lock != "":
		return model.Locked(f.lock, f.models)
	}
	return modelSet(f.models)
}

// maxTogether bounds what waits for its batch.
const maxTogether = 64

// detectorFlags are the flags of every command that detects: what to look for, how it scores, and what to keep.
type detectorFlags struct {
	scoringFlags
	topK      int
	threshold float64
	nms       float64
	agnostic  bool
	softNMS   float64
	boxVoting float64
	contained float64
}

func (f *detectorFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.scoringFlags.add(cmd)
	flags.Float64Var(&f.threshold, "threshold", defaultThreshold, "least `SCORE` of a detection; 0 keeps all, and -1 with --rank cosine, where it is the default")
	flags.IntVar(&f.topK, "top-k", 0, "at most `N` boxes of each query, the best; 0 is all")
	flags.Float64Var(&f.nms, "nms", detect.DefaultNMS, "drop the weaker of two boxes of a query whose overlap is more than `IOU`; 1 keeps all")
	flags.BoolVar(&f.agnostic, "nms-agnostic", false, "suppress across the queries too: a box goes to its best query")
	flags.Float64Var(&f.softNMS, "soft-nms", 0, "lower the scores of overlapping boxes by exp(-IoU²/`SIGMA`), 0.5 for example, in place of --nms; 0 is off")
	flags.Float64Var(&f.boxVoting, "box-voting", 0, "move each box to the mean of its query's boxes that overlap it by more than `IOU`, 0.5 for example; 0 is off")
	flags.Float64Var(&f.contained, "contained", 0, "drop a box of which more than `SHARE` lies inside a stronger box of the query, 0.9 for example; 0 is off")
}

// plan is what the flags ask for, read and checked before any model is loaded.
type plan struct {
	options     detect.Options
	queries     []detect.Query
	params      detect.Params
	calibration *calibrationFile // nil: none
}

// plan checks everything that can be wrong in the flags; its errors are wrong usage.
func (f *detectorFlags) plan(cmd *cobra.Command) (plan, error) {
	switch {
	case f.topK < 0:
		return plan{}, fmt.Errorf("--top-k %d: want 0 (all) or more", f.topK)
	case !(f.threshold >= -1 && f.threshold <= 1):
		return plan{}, fmt.Errorf("--threshold %v: want -1 to 1", f.threshold)
	case !(f.nms > 0 && f.nms <= 1):
		return plan{}, fmt.Errorf("--nms %v: want an IoU above 0, up to 1, which keeps all", f.nms)
	case !(f.softNMS >= 0):
		return plan{}, fmt.Errorf("--soft-nms %v: want a sigma above 0, or 0 for none", f.softNMS)
	case f.softNMS > 0 && detect.Rank(f.rank.value) == detect.RankCosine:
		return plan{}, errors.New("--soft-nms lowers scores that aren't negative, and a cosine may be: take another --rank")
	case !(f.boxVoting >= 0 && f.boxVoting < 1):
		return plan{}, fmt.Errorf("--box-voting %v: want an IoU above 0 and below 1, or 0 for none", f.boxVoting)
	case !(f.contained >= 0 && f.contained <= 1):
		return plan{}, fmt.Errorf("--contained %v: want a share between 0 and 1, which are off", f.contained)
	}
	p, err := f.scoringFlags.plan(cmd)
	if err != nil {
		return p, err
	}
	p.params = detect.Params{
		TopK: f.topK, Threshold: float32(f.threshold), Rank: p.params.Rank,
		NMS: f.nms, Agnostic: f.agnostic, SoftNMS: f.softNMS, BoxVoting: f.boxVoting, Contained: f.contained,
		MaxDetections: f.limits.detections,
	}
	if p.params.Rank == detect.RankCosine && !cmd.Flags().Changed("threshold") {
		p.params.Threshold = -1
	}
	return p, nil
}

// open loads the models and embeds the queries, and takes the thresholds from the calibration. The caller closes the
// Detector, which frees the Queries too.
func (p *plan) open(ctx context.Context) (*detect.Detector, *detect.Queries, error) {
	detector, err := detect.Open(ctx, p.options)
	if err != nil {
		return nil, nil, setupFailure(ctx, err)
	}
	queries, err := detector.Queries(ctx, p.queries...)
	if err != nil {
		detector.Close()
		return nil, nil, setupFailure(ctx, err)
	}
	if p.calibration == nil {
		return detector, queries, nil
	}
	scoring, err := p.scoring(detector.Info())
	if err == nil {
		p.params.Thresholds, err = p.calibration.For(scoring)
	}
	if err != nil {
		detector.Close()
		return nil, nil, fmt.Errorf("--calibration %s: %w", p.calibration.path, err)
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
