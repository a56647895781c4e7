package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/calibration"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// calibrateFlags are the flags of the calibrate command.
type calibrateFlags struct {
	settings.ScoringFlags
	out         string
	quantile    float64
	annotations string
	intake      intake.Flags
}

func calibrateCommand() *cobra.Command {
	var f calibrateFlags
	cmd := &cobra.Command{
		Use:   "calibrate -q QUERY... [flags] IMAGE|DIR|GLOB|URL|-...",
		Short: "Find thresholds from pictures in which the queries are not",
		Long: `Takes pictures in which none of the queries is, and sets the threshold of each
query so that nothing is found in a share of them, --quantile: the best score of a
query in each picture counts, and the threshold lies just above the score that
the share doesn't pass. "clipdet detect --calibration FILE" takes the thresholds.

With --annotations, a file in COCO's format, the queries' names are categories,
and a picture counts for those queries of whose category it has no annotation.
Pictures are known by their files' names, without directories.

Thresholds hold for the same models and the same scoring: rank, proposals, crops,
templates, background and queries; detect refuses others, and names what differs.
A probability depends on all queries, so all must be asked; with --rank cosine,
some of them may be.

About 1/(1 - quantile) pictures are needed; with fewer, the threshold is above the
best score of all.`,
		Example: `  clipdet calibrate -q mug -q spoon --out mugs.json no-mugs-or-spoons
  clipdet calibrate -q dog -q cat --annotations instances.json --out pets.json photos
  clipdet detect -q dog -q cat --calibration pets.json photo.jpg`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && f.intake.FilesFrom == "" {
				return errors.New("no picture: name files, directories or patterns in which the queries are not")
			}
			return nil
		},
		RunE: f.run,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.out, "out", "o", "", "write the thresholds to `FILE` (default: stdout)")
	flags.Float64Var(&f.quantile, "quantile", calibration.DefaultQuantile, "the `SHARE` of pictures in which nothing is to be found, above 0 and up to 1")
	flags.StringVar(&f.annotations, "annotations", "", "what is in the pictures: COCO's instances, a JSON `FILE`")
	// MarkFlagFilename fails only for an unknown flag.
	_ = cmd.MarkFlagFilename("annotations", "json")
	_ = cmd.MarkFlagFilename("out", "json")
	f.intake.Add(flags)
	f.ScoringFlags.Add(cmd)
	return cmd
}

func (f *calibrateFlags) run(cmd *cobra.Command, args []string) error {
	p, err := f.Plan(cmd)
	if err != nil {
		return err
	}
	if !(f.quantile > 0 && f.quantile <= 1) {
		return fmt.Errorf("--quantile %v: want a share above 0, up to 1", f.quantile)
	}
	found, err := f.intake.Expand(args, cmd.InOrStdin())
	if err != nil {
		return err
	}
	inputs := found.Inputs
	if err := f.checkOut(append(p.Read, intake.Files(inputs)...)); err != nil {
		return err
	}
	for _, note := range found.Notes {
		console.Say(cmd.ErrOrStderr(), "%s", note)
	}
	var known *calibration.Labels
	if f.annotations != "" {
		if known, err = calibration.ReadLabels(f.annotations); err != nil {
			return fmt.Errorf("--annotations: %w", err)
		}
		for _, warning := range known.Warnings {
			console.Say(cmd.ErrOrStderr(), "--annotations %s: %s", f.annotations, warning)
		}
		for _, query := range p.Queries {
			if !slices.Contains(known.Categories, query.Name) {
				return fmt.Errorf("--annotations %s: no category is named %q", f.annotations, query.Name)
			}
		}
		for i, in := range inputs {
			if in.Err == nil && !known.Has(in.Path) {
				inputs[i].Err = errors.New("--annotations has no image of this name")
			}
		}
	}
	ctx := cmd.Context()
	detector, queries, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer detector.Close()
	scoring, err := p.Scoring(detector.Info())
	if err != nil {
		return err
	}

	progress := console.NewProgress(cmd.ErrOrStderr(), "detecting", len(inputs))
	negatives, failed, err := bestScores(ctx, detector, queries, p.Params, inputs, known, progress)
	if err != nil {
		return err
	}
	thresholds, err := calibration.New(scoring, f.quantile, negatives)
	if err != nil {
		return exit.Inputs(err)
	}
	for _, t := range thresholds.Thresholds {
		if needed := int(math.Ceil(1/(1-f.quantile) - 1e-9)); f.quantile < 1 && t.Pictures < needed {
			progress.Say("%q: too few pictures, %d, for a quantile of %v, which needs %d: the threshold is above all their scores",
				t.Query, t.Pictures, f.quantile, needed)
		}
	}
	if err := f.write(cmd.OutOrStdout(), thresholds); err != nil {
		return exit.Inputs(fmt.Errorf("write the thresholds: %w", err))
	}
	if failed > 0 {
		return exit.Inputs(fmt.Errorf("%d of %d pictures failed; the thresholds are of the others", failed, len(inputs)))
	}
	return nil
}

// checkOut returns an error if the result could not be written to --out, or would replace a
// file that is read. It runs before the long work.
func (f *calibrateFlags) checkOut(read []files.Named) error {
	if f.out == "" {
		return nil
	}
	out := files.GivenBy("--out", f.out)
	if err := out.Check(); err != nil {
		return err
	}
	read = append(read, files.GivenBy("--annotations", f.annotations), files.GivenBy("--files-from", f.intake.FilesFrom))
	return files.CheckDistinct([]files.Named{out}, read)
}

func (f *calibrateFlags) write(stdout io.Writer, found calibration.Calibration) error {
	if f.out == "" {
		return found.WriteJSON(stdout)
	}
	return files.Write(f.out, found.WriteJSON)
}

// bestScores returns, for each query name, the best score in each negative picture. If
// known is nil, every picture is negative; otherwise a picture is negative for the
// queries that known doesn't show in it. failed is the number of pictures that failed;
// each is reported, and the others are still processed. If ctx is done early, bestScores
// returns an error and no scores.
func bestScores(ctx context.Context, detector *detect.Detector, queries *detect.Queries, params detect.Params,
	inputs []intake.Input, known *calibration.Labels, progress console.Progress) (scores map[string][]float32, failed int, err error) {
	params.NMS, params.TopK = 1, 1 // only the best box counts
	images := intake.DecodeAhead(ctx, inputs, pixels.Limits{}, intake.Decoders())
	scores = map[string][]float32{}
	done := 0
	for result, err := range detector.DetectAll(ctx, images, queries, params) {
		if done == len(inputs) || err != nil && ctx.Err() != nil {
			break
		}
		in := inputs[done]
		done++
		progress.Step()
		if err != nil {
			failed++
			progress.Say("%s", console.Naming(in.Path, err))
			continue
		}
		for _, p := range result.Presence {
			if known != nil && known.Shows(in.Path, p.Query) {
				continue
			}
			if len(result.Proposals) == 0 && params.Rank == detect.RankCosine {
				p.Score = -1 // no box: the least cosine
			}
			scores[p.Query] = append(scores[p.Query], p.Score)
		}
	}
	progress.Finish()
	if done < len(inputs) {
		return nil, failed, exit.Inputs(fmt.Errorf("interrupted: %d of %d pictures are done, and nothing is written", done, len(inputs)))
	}
	return scores, failed, nil
}
