package settings

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/pkg/detect"
)

// DetectorFlags are the flags of every command that detects: what to look for, how boxes
// are scored, and which ones are kept.
type DetectorFlags struct {
	ScoringFlags
	topK      int
	Threshold float64
	nms       float64
	agnostic  bool
	softNMS   float64
	boxVoting float64
	contained float64
	tile      string
	overlap   float64
	minSize   float64
	maxSize   float64
}

// Add defines the flags on cmd.
func (f *DetectorFlags) Add(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.ScoringFlags.Add(cmd)
	flags.Float64Var(&f.Threshold, "threshold", detect.DefaultThreshold, "least `SCORE` of a detection; 0 keeps all, and -1 with --rank cosine, where it is the default")
	flags.IntVar(&f.topK, "top-k", 0, "at most `N` boxes of each query, the best; 0 is all")
	flags.Float64Var(&f.nms, "nms", detect.DefaultNMS, "drop the weaker of two boxes of a query whose overlap is more than `IOU`; 1 keeps all")
	flags.BoolVar(&f.agnostic, "nms-agnostic", false, "suppress across the queries too: a box goes to its best query")
	flags.Float64Var(&f.softNMS, "soft-nms", 0, "lower the scores of overlapping boxes by exp(-IoU²/`SIGMA`), 0.5 for example, in place of --nms; 0 is off")
	flags.Float64Var(&f.boxVoting, "box-voting", 0, "move each box to the mean of its query's boxes that overlap it by more than `IOU`, 0.5 for example; 0 is off")
	flags.Float64Var(&f.contained, "contained", 0, "drop a box of which more than `SHARE` lies inside a stronger box of the query, 0.9 for example; 0 is off")
	flags.StringVar(&f.tile, "tile", "none", "also do a large picture in tiles of `N` pixels a side, 1280 for example; auto does it where things would be too small, and none doesn't")
	flags.Float64Var(&f.overlap, "tile-overlap", detect.DefaultTileOverlap, "`SHARE` of a tile's side that neighbours have in common, above 0 and up to 0.8")
	flags.Float64Var(&f.minSize, "min-size", 0, "drop boxes whose shorter side is below `PIXELS`; 0 is off")
	flags.Float64Var(&f.maxSize, "max-size", 0, "drop boxes whose longer side is above `PIXELS`; 0 is off")
}

// side returns the side of tiles, as Params.Tile has it.
func (f *DetectorFlags) side() (int, error) {
	switch f.tile {
	case "none":
		return 0, nil
	case "auto":
		return detect.TileAuto, nil
	}
	side, err := strconv.Atoi(f.tile)
	if err != nil || side < 32 {
		return 0, fmt.Errorf("--tile %s: want a side of 32 pixels or more, auto or none", f.tile)
	}
	return side, nil
}

// Plan checks the flags and returns their plan. Its errors mean wrong usage.
func (f *DetectorFlags) Plan(cmd *cobra.Command) (Plan, error) {
	switch {
	case f.topK < 0:
		return Plan{}, fmt.Errorf("--top-k %d: want 0 (all) or more", f.topK)
	case !(f.Threshold >= -1 && f.Threshold <= 1):
		return Plan{}, fmt.Errorf("--threshold %v: want -1 to 1", f.Threshold)
	case !(f.nms > 0 && f.nms <= 1):
		return Plan{}, fmt.Errorf("--nms %v: want an IoU above 0, up to 1, which keeps all", f.nms)
	case !(f.softNMS >= 0):
		return Plan{}, fmt.Errorf("--soft-nms %v: want a sigma above 0, or 0 for none", f.softNMS)
	case f.softNMS > 0 && detect.Rank(f.rank.Value) == detect.RankCosine:
		return Plan{}, errors.New("--soft-nms lowers scores that aren't negative, and a cosine may be: take another --rank")
	case !(f.boxVoting >= 0 && f.boxVoting < 1):
		return Plan{}, fmt.Errorf("--box-voting %v: want an IoU above 0 and below 1, or 0 for none", f.boxVoting)
	case !(f.overlap > 0 && f.overlap <= 0.8):
		return Plan{}, fmt.Errorf("--tile-overlap %v: want a share above 0, up to 0.8", f.overlap)
	case !(f.contained >= 0 && f.contained <= 1):
		return Plan{}, fmt.Errorf("--contained %v: want a share between 0 and 1, which are off", f.contained)
	case !(f.minSize >= 0):
		return Plan{}, fmt.Errorf("--min-size %v: want a number of pixels, or 0 for any", f.minSize)
	case !(f.maxSize >= 0) || f.maxSize > 0 && f.maxSize < f.minSize:
		return Plan{}, fmt.Errorf("--max-size %v: want a number of pixels, --min-size or more, or 0 for any", f.maxSize)
	}
	side, err := f.side()
	if err != nil {
		return Plan{}, err
	}
	p, err := f.ScoringFlags.Plan(cmd)
	if err != nil {
		return p, err
	}
	p.Params = detect.Params{
		TopK: f.topK, Threshold: float32(f.Threshold), Rank: p.Params.Rank, Scores: p.Params.Scores,
		NMS: f.nms, Agnostic: f.agnostic, SoftNMS: f.softNMS, BoxVoting: f.boxVoting, Contained: f.contained,
		MaxDetections: f.Limits.Detections, Tile: side, TileOverlap: f.overlap,
		MinSize: f.minSize, MaxSize: f.maxSize,
	}
	if p.Params.Rank == detect.RankCosine && !cmd.Flags().Changed("threshold") {
		p.Params.Threshold = -1
	}
	return p, nil
}
