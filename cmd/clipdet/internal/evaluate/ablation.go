package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/prompt"
	"github.com/clipdet/clipdet/pkg/results"
)

// ablations are the flags that --ablate changes, one at a time. A value that the flag
// already has is skipped.
var ablations = [][2]string{
	{"templates", "none"}, {"templates", "default"}, {"templates", "many"},
	{"crop", "clip"}, {"crop", "squash"}, {"crop", "pad"},
	{"crop-context", "1"}, {"crop-context", "1.5"}, {"crop-context", "1,1.5"},
	{"background", "default"}, {"background", "none"}, {"subtract-empty", "true"},
	{"rank", "fused"}, {"rank", "mean"}, {"rank", "probability"}, {"rank", "cosine"},
	{"nms-agnostic", "true"}, {"soft-nms", "0.5"}, {"box-voting", "0.5"}, {"contained", "0.9"},
}

// variant is the command's flags with one of them changed, and its measurement.
type variant struct {
	Name    string        `json:"variant"`
	Summary *eval.Summary `json:"summary"`

	plan       settings.Plan
	detections []eval.Result
	took       time.Duration // in the detector, all pictures
}

// ablation measures variants on the same images.
type ablation struct {
	flags    *Flags
	truth    *truth
	images   []eval.Image // that can be read, after the first group
	failed   int
	variants []*variant
	stderr   io.Writer
}

func (f *Flags) runAblation(cmd *cobra.Command, t *truth, part shard) error {
	for flag, given := range map[string]bool{"--results": f.results != "", "--html": f.html != "", "--records": f.records != "", "--gt-boxes": f.boxes} {
		if given {
			return fmt.Errorf("%s is of one evaluation, and --ablate makes many; leave it out", flag)
		}
	}
	a := ablation{flags: f, truth: t, images: part.of(t.Images), stderr: cmd.ErrOrStderr()}
	if err := a.vary(cmd); err != nil {
		return err
	}
	for rest := a.variants; len(rest) > 0; {
		var together, others []*variant
		for _, v := range rest {
			if sameDetector(v.plan.Options, rest[0].plan.Options) {
				together = append(together, v)
			} else {
				others = append(others, v)
			}
		}
		if err := a.group(cmd.Context(), together); err != nil {
			return err
		}
		rest = others
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), a.table()); err != nil {
		return exit.Inputs(err)
	}
	if err := a.write(); err != nil {
		return exit.Inputs(fmt.Errorf("--json: %w", err))
	}
	if a.failed > 0 {
		return exit.Inputs(fmt.Errorf("%d of %d pictures failed; the numbers are of the others", a.failed, a.failed+len(a.images)))
	}
	return nil
}

// vary makes the variants. The first has the flags as they are given.
func (a *ablation) vary(cmd *cobra.Command) error {
	base, err := a.flags.evalPlan(cmd, a.truth)
	if err != nil {
		return err
	}
	a.variants = []*variant{{Name: "as given", plan: base}}
	for _, change := range ablations {
		flag := cmd.Flags().Lookup(change[0])
		restore, changed, err := setFlag(flag, change[1])
		if err != nil {
			return err
		}
		p, refused := a.flags.evalPlan(cmd, a.truth)
		if err := restore(); err != nil {
			return err
		}
		name := strings.TrimSuffix("--"+change[0]+" "+change[1], " true")
		switch {
		case changed && refused != nil:
			console.NewProgress(a.stderr, "", 0).Say("%s is left out: %v", name, refused)
		case changed:
			a.variants = append(a.variants, &variant{Name: name, plan: p})
		}
	}
	return nil
}

// setFlag sets a flag until restore is called. changed reports whether the value differs
// from the earlier one.
func setFlag(flag *pflag.Flag, value string) (restore func() error, changed bool, err error) {
	before := flag.Value.String()
	if list, ok := flag.Value.(pflag.SliceValue); ok { // Set would append to it
		had := list.GetSlice()
		err = list.Replace(strings.Split(value, ","))
		restore = func() error { return list.Replace(had) }
	} else {
		err = flag.Value.Set(value)
		restore = func() error { return flag.Value.Set(before) }
	}
	return restore, flag.Value.String() != before, err
}

// sameDetector reports whether one detector, and thus one encoding of the pictures,
// serves both. Templates only matter with SubtractEmpty, because fill puts them into the
// queries.
func sameDetector(a, b detect.Options) bool {
	key := func(o detect.Options) string {
		if !o.SubtractEmpty {
			o.Templates = nil
		}
		return fmt.Sprintf("%v %q %v %q", o.Crops, o.Background, o.SubtractEmpty, o.Templates)
	}
	return key(a) == key(b)
}

// group encodes each picture once and matches it with every variant. sameDetector must
// hold for all variants.
func (a *ablation) group(ctx context.Context, variants []*variant) error {
	first := variants[0] == a.variants[0]
	detector, err := detect.Open(ctx, variants[0].plan.Options)
	if err != nil {
		return exit.NotOpened(ctx, err)
	}
	defer detector.Close()
	var queries []*detect.Queries
	for _, v := range variants {
		filled, err := fill(v.plan.Queries, v.plan.Options.Templates)
		if err != nil {
			return err
		}
		q, err := detector.Queries(ctx, filled...)
		if err != nil {
			return exit.NotOpened(ctx, err)
		}
		queries = append(queries, q)
	}

	var names []string
	for _, v := range variants {
		names = append(names, v.Name)
	}
	progress := console.NewProgress(a.stderr, names[0], len(a.images))
	progress.Say("%d pictures: %s", len(a.images), strings.Join(names, ", "))
	inputs := inputsOf(a.images, a.flags.images)
	limits := a.flags.pictureFlags.Limits()
	pace := console.NewPace(console.DayPace)
	var read []eval.Image
	n := 0
	for picture, err := range fitting(a.images, limits, intake.DecodeAhead(ctx, inputs, limits, intake.Decoders())) {
		image := a.images[n]
		if err == nil {
			var regions *detect.Regions
			if regions, err = detector.Regions(ctx, picture); err == nil {
				err = a.match(ctx, regions, image, variants, queries)
				regions.Close()
			}
		}
		switch {
		case ctx.Err() != nil:
			return exit.Inputs(errors.New("interrupted: nothing was measured to the end"))
		case err != nil && !first:
			return exit.Inputs(fmt.Errorf("%s, which %s could read: %w", image.FileName, a.variants[0].Name, err))
		case err != nil:
			progress.Say("%s", console.Naming(image.FileName, err))
		default:
			read = append(read, image)
		}
		n++
		progress.Step()
		pace.Tell(progress, n, len(a.images))
	}
	progress.Finish()
	if n < len(a.images) {
		return exit.Inputs(errors.New("interrupted: nothing was measured to the end"))
	}
	if first {
		a.failed, a.images = len(a.images)-len(read), read
	}
	return a.measure(variants)
}

// fill returns the queries with their names filled into the templates as phrases, so that
// each variant has its own templates.
func fill(queries []detect.Query, templates []string) ([]detect.Query, error) {
	filled := make([]detect.Query, len(queries))
	for i, q := range queries {
		if filled[i] = q; len(q.Phrases) == 0 && len(q.Examples) == 0 {
			var err error
			if filled[i].Phrases, err = prompt.Fill(q.Name, templates); err != nil {
				return nil, err
			}
		}
	}
	return filled, nil
}

// match matches one picture with every variant.
func (a *ablation) match(ctx context.Context, regions *detect.Regions, image eval.Image, variants []*variant, queries []*detect.Queries) error {
	found := make([]*detect.Result, len(variants))
	for i, v := range variants {
		var err error
		if found[i], err = regions.Match(ctx, queries[i], v.plan.Params); err != nil {
			return err
		}
	}
	for i, v := range variants { // only now, so that all have the same pictures
		for _, s := range meanStages([]results.Record{{Timings: found[i].Timings}}) {
			v.took += time.Duration(s.MS * float64(time.Millisecond))
		}
		for _, d := range found[i].Detections {
			v.detections = append(v.detections, eval.Result{
				ImageID: image.ID, CategoryID: a.truth.category[d.Query], BBox: eval.FromBox(d.Box), Score: float64(d.Score),
			})
		}
	}
	return nil
}

func (a *ablation) measure(variants []*variant) error {
	if len(a.images) == 0 {
		return exit.Inputs(errors.New("no picture could be read; there is nothing to measure"))
	}
	var ids []int64
	for _, image := range a.images {
		ids = append(ids, image.ID)
	}
	d, err := a.truth.Subset(ids)
	if err != nil {
		return exit.Inputs(err)
	}
	for _, v := range variants {
		evaluation, err := eval.Evaluate(d, v.detections)
		if err != nil {
			return exit.Inputs(err)
		}
		v.Summary, v.detections = &evaluation.Summary, nil
	}
	return nil
}

// table returns the variants in Markdown, padded so that the source is readable too.
func (a *ablation) table() string {
	width := 0
	for _, v := range a.variants {
		width = max(width, len(v.Name))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| %-*s | AP    | change | AP50  | AR100 | ms/picture |\n", width, "variant")
	fmt.Fprintf(&b, "|-%s-|------:|-------:|------:|------:|-----------:|\n", strings.Repeat("-", width))
	base := a.variants[0].Summary
	for _, v := range a.variants {
		change := ""
		if s := v.Summary; s != base && s.AP >= 0 {
			change = fmt.Sprintf("%+.3f", s.AP-base.AP)
		}
		fmt.Fprintf(&b, "| %-*s | %5s | %6s | %5s | %5s | %10.1f |\n", width, v.Name, fraction(v.Summary.AP), change,
			fraction(v.Summary.AP50), fraction(v.Summary.AR100), v.took.Seconds()*1e3/float64(len(a.images)))
	}
	return b.String()
}

func (a *ablation) write() error {
	if a.flags.json == "" {
		return nil
	}
	return files.Write(a.flags.json, func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", " ")
		return encoder.Encode(a.variants)
	})
}
