// Package evaluate implements clipdet eval and clipdet eval merge. It turns the pictures
// of a data set into records, and records into numbers, a table and a page.
package evaluate

import (
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/results"
)

// Run evaluates the pictures of a data set as the flags say.
func (f *Flags) Run(cmd *cobra.Command, _ []string) (err error) {
	if err := f.check(cmd); err != nil {
		return err
	}
	part, err := askedShard(f.shard)
	if err != nil {
		return err
	}
	truth, err := readTruth(f.annotations)
	if err != nil {
		return err
	}
	if f.Queries, err = truth.asked(f.phrasings); err != nil {
		return err
	}
	if f.json != "" || f.results != "" {
		if err := f.checkDistinct(intake.Files(inputsOf(part.of(truth.Images), f.images))...); err != nil {
			return err
		}
	}
	if f.ablate {
		return f.runAblation(cmd, truth, part)
	}
	p, err := f.evalPlan(cmd, truth)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	detector, queries, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer detector.Close()

	made, err := f.madeWith(cmd, truth, detector.Info())
	if err != nil {
		return err
	}
	records, err := openRecords(f.recordsFile(), results.EvalHeader{Made: made, Shard: part.String()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, records.close()) }()
	r := run{
		flags: f, truth: truth, detector: detector, queries: queries, plan: p,
		images: part.of(truth.Images), records: records,
		limits: f.pictureFlags.Limits(),
		stderr: cmd.ErrOrStderr(),
	}
	if err := r.all(ctx); err != nil {
		return err
	}
	if len(r.images) == 0 {
		console.Say(cmd.ErrOrStderr(), "no picture is in shard %s of %d: there is nothing to measure", part, len(truth.Images))
		return nil
	}
	return f.report(cmd, truth, r.images, made, records.found)
}

// evalPlan returns the plan of the flags with the categories as queries, and sets f.kept
// to the number of detections per picture that count.
func (f *Flags) evalPlan(cmd *cobra.Command, t *truth) (settings.Plan, error) {
	p, err := f.Plan(cmd)
	if err != nil {
		return p, fmt.Errorf("the categories of %s are asked for: %w", f.annotations, err)
	}
	if err := f.checkDistinct(p.Read...); err != nil {
		return p, err
	}
	if f.kept = t.MostDetections(); cmd.Flags().Changed("max-detections") {
		f.kept = f.Limits.Detections
	}
	if p.Params.TopK == 0 || p.Params.TopK > f.kept {
		p.Params.TopK = f.kept // no more can be among the best of all
	}
	p.Params.Best, p.Params.MaxDetections = f.kept, math.MaxInt
	return p, nil
}
