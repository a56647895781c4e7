package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/agreement"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// compareFlags are the flags of the models compare command.
type compareFlags struct {
	settings.DetectorFlags
	otherType *settings.Choice
	format    *settings.Choice
}

func modelsCompareCommand() *cobra.Command {
	var f compareFlags
	cmd := &cobra.Command{
		Use:   "compare A B -q QUERY... [flags] IMAGE|DIR|GLOB...",
		Short: "Show how far two sets of models agree on your pictures",
		Long: `Runs the models of two directories (or lock files), A and B, on pictures, and
writes how far they agree. To compare two types of weights of one directory, name
it twice: --dtype is the type of A, and --dtype-b the type of B.

The boxes that A proposes are embedded and ranked by both:
  cosine    of a box's two embeddings, the mean and the least of all boxes; only
            where both embeddings are of one width, and of use only for one CLIP
  top-1     share of the pictures whose best box is the same
  top-k     share of A's --top-k best boxes that are among B's
  score     differences between a box's two scores, their mean and the largest
Then each set detects alone, with its own proposals, --threshold, --top-k and --nms:
  found     share of A's detections that B has too, at an IoU of 0.5 or more
  AP, AP50  COCO's metrics of B's detections, if A's are the truth`,
		Example: `  clipdet models compare models models --dtype float32 --dtype-b int8 -q dog -q cup photos
  clipdet models compare models/vit-b-32 models/vit-l-14 -q dog --format json photos`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 3 {
				return errors.New("want two directories of models and pictures, as in: clipdet models compare A B -q dog photos")
			}
			return nil
		},
		RunE: f.run,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.DetectorFlags.Add(cmd)
	for name, value := range map[string]string{"top-k": "10", "threshold": "0"} {
		_ = flags.Set(name, value) // fails only for an unknown flag
		flags.Lookup(name).DefValue, flags.Lookup(name).Changed = value, false
	}
	for _, name := range []string{"models", "lock", "text-cache"} {
		flags.Lookup(name).Hidden = true
	}
	f.otherType = settings.AddChoice(cmd, "dtype-b", "the type of weights of B, which is otherwise as --dtype says", append([]string{"as-a"}, detect.DTypes()...)...)
	f.format = settings.AddChoice(cmd, "format", "of the report", "text", "json")
	return cmd
}

func (f *compareFlags) run(cmd *cobra.Command, args []string) error {
	for _, name := range []string{"models", "lock", "text-cache"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s: A and B are the models here; leave it out", name)
		}
	}
	plan, err := f.Plan(cmd)
	if err != nil {
		return err
	}
	plan.Options.TextCache = ""
	ctx := cmd.Context()
	planA, planB := plan, plan
	planA.Options.Models, planB.Options.Models = settings.ModelSet(args[0]), settings.ModelSet(args[1])
	if f.otherType.Value != "as-a" {
		planB.Options.DType = f.otherType.Value
	}
	a, err := openSide(ctx, planA)
	if err != nil {
		return err
	}
	defer a.detector.Close()
	b, err := openSide(ctx, planB)
	if err != nil {
		return err
	}
	defer b.detector.Close()

	inputs := intake.Expand(args[2:])
	progress := console.NewProgress(cmd.ErrOrStderr(), "comparing", len(inputs))
	comparison := agreement.New(a.queries.Names(), plan.Params.TopK)
	at, failed := 0, 0
	for picture, err := range intake.DecodeAhead(ctx, inputs, pixels.Limits{}, 1) {
		var both agreement.Picture
		if err == nil {
			both, err = comparePicture(ctx, a, b, plan.Params, picture)
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			failed++
			progress.Say("%s", console.Naming(inputs[at].Path, err))
		} else {
			comparison.Add(both)
		}
		at++
		progress.Step()
	}
	progress.Finish()
	switch {
	case ctx.Err() != nil:
		return exit.Inputs(fmt.Errorf("interrupted: %d of %d pictures are compared", at, len(inputs)))
	case failed == len(inputs):
		return exit.Inputs(errors.New("no picture was compared"))
	}
	report, err := comparison.Report()
	if err != nil {
		return exit.Inputs(err)
	}
	if f.format.Value == "json" {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = writeAgreement(cmd.OutOrStdout(), report, a.describe(args[0]), b.describe(args[1]))
	}
	if err != nil {
		return exit.Inputs(err)
	}
	if failed > 0 {
		return exit.Inputs(fmt.Errorf("%d of %d pictures failed; the report is of the others", failed, len(inputs)))
	}
	return nil
}

// side is one of the two sets of models.
type side struct {
	detector *detect.Detector
	queries  *detect.Queries
}

func openSide(ctx context.Context, plan settings.Plan) (side, error) {
	detector, queries, err := plan.Open(ctx)
	return side{detector, queries}, err
}

// describe returns a set's path and the types of its models.
func (s side) describe(path string) string {
	info := s.detector.Info()
	return fmt.Sprintf("%s: %s in %s, %s in %s", console.Printable(path),
		console.Printable(info.Image.Manifest.Architecture), info.Image.Manifest.DType,
		console.Printable(info.RPN.Manifest.Architecture), info.RPN.Manifest.DType)
}

// lists returns what a set says of regions, for each query.
func (s side) lists(ctx context.Context, regions *detect.Regions, params detect.Params) ([][]agreement.Scored, error) {
	result, err := regions.Match(ctx, s.queries, params)
	if err != nil {
		return nil, err
	}
	names := s.queries.Names()
	at := make(map[string]int, len(names))
	for i, name := range names {
		at[name] = i
	}
	lists := make([][]agreement.Scored, len(names))
	for _, d := range result.Detections { // best first
		i := at[d.Query]
		lists[i] = append(lists[i], agreement.Scored{Box: d.Box, Score: d.Score})
	}
	return lists, nil
}

// comparePicture asks both sets about a picture.
func comparePicture(ctx context.Context, a, b side, params detect.Params, picture image.Image) (p agreement.Picture, err error) {
	regionsA, err := a.detector.Regions(ctx, picture)
	if err != nil {
		return p, err
	}
	defer regionsA.Close()
	same, err := b.detector.Regions(ctx, detect.WithProposals{Image: picture, Proposals: regionsA.Proposals()})
	if err != nil {
		return p, err
	}
	defer same.Close()
	own := same
	if a.detector.Info().RPN.Manifest.Digest != b.detector.Info().RPN.Manifest.Digest {
		if own, err = b.detector.Regions(ctx, picture); err != nil {
			return p, err
		}
		defer own.Close()
	}
	every := detect.Params{Rank: params.Rank, NMS: 1, Threshold: -1, MaxDetections: params.MaxDetections}
	for _, list := range []struct {
		of      side
		regions *detect.Regions
		params  detect.Params
		into    *[][]agreement.Scored
	}{{a, regionsA, every, &p.RanksA}, {b, same, every, &p.RanksB}, {a, regionsA, params, &p.FoundA}, {b, own, params, &p.FoundB}} {
		if *list.into, err = list.of.lists(ctx, list.regions, list.params); err != nil {
			return p, err
		}
	}
	if a.detector.Info().Image.Manifest.EmbeddingWidth != b.detector.Info().Image.Manifest.EmbeddingWidth {
		return p, nil
	}
	if p.EmbeddingsA, err = regionsA.Embeddings(ctx); err == nil {
		p.EmbeddingsB, err = same.Embeddings(ctx)
	}
	return p, err
}

// writeAgreement writes a report as a table.
func writeAgreement(w io.Writer, r agreement.Report, a, b string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "A  %s\nB  %s\n%d pictures, %d boxes", a, b, r.Pictures, r.Boxes)
	if r.CosineMean != nil {
		fmt.Fprintf(&text, "; cosine of a box's embeddings: %.5f in the mean, %.5f at least", *r.CosineMean, *r.CosineLeast)
	}
	topK := "top-all"
	if r.TopK > 0 {
		topK = fmt.Sprintf("top-%d", r.TopK)
	}
	fmt.Fprint(&text, "\n\n")
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "query\ttop-1\t%s\tscore mean\tmost\tfound\tAP\tAP50\t\n", topK)
	for _, q := range append(r.Queries, r.All) {
		fmt.Fprintf(table, "%s\t", console.Printable(q.Name))
		for _, v := range []*float64{q.Top1, q.TopK, q.ScoreMean, q.ScoreMost, q.Found, q.AP, q.AP50} {
			if v == nil {
				fmt.Fprint(table, "-\t")
			} else {
				fmt.Fprintf(table, "%.4f\t", *v)
			}
		}
		fmt.Fprintln(table)
	}
	err := table.Flush()
	if err == nil {
		_, err = io.WriteString(w, text.String())
	}
	return err
}
