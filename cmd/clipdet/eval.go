package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// evalOutputs are where numbers go beside the table, of eval and of eval merge.
type evalOutputs struct {
	images, annotations string
	json, results, html string
	records             string
}

// evalFlags are those of the eval command.
type evalFlags struct {
	detectorFlags
	evalOutputs
	phrasings string
	boxes     bool
	shard     string
	shown     pictureFlags
	ablate    bool

	kept int // detections of a picture, the best
}

func evalCommand() *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval --images DIR --annotations FILE [flags]",
		Short: "Measure AP, AR and errors on annotated pictures",
		Long: `Asks every picture of a data set for all of its categories and measures what is
found, in COCO's way: the numbers are those of pycocotools, or, where the data set
says of each picture what isn't annotated (LVIS), those of LVIS's API.

--annotations is COCO's instances JSON, or LVIS's. A category's name is a query, as
the templates take it: "_" becomes a space and "/" becomes "or". --phrasings says it
otherwise, a line for each category: NAME=PHRASE|PHRASE, as detect's -q has it,
where {} stands for the name; empty lines and lines that begin with # don't count.
A picture is DIR/file_name; else the one file below DIR that is named so.

Standard output is a table: AP and AR; what the proposals cover, whatever the
category; with --gt-boxes how the boxes of the ground truth are classified; what
went wrong, by TIDE's kinds; and the categories that are best and worst.

Each picture's record is added to --records at once. The same command goes on where
an interrupted one ended and tries failed pictures again; a command that would find
something else is refused. --shard I/N does each Nth picture, from the Ith on, and
"clipdet eval merge" puts the records of all shards together. The same input on the
same kind of device gives the same --json and --results, to the byte, however often
it was interrupted.

--ablate prints a Markdown table instead: AP, AP50, AR100 and the time of the flags as
they are, and with one of them changed at a time (templates, crops, background, ranks,
suppression). Pictures are encoded again only where crops or the background change.
--json has its numbers; nothing is kept to go on from.

A picture that can't be read is named on stderr and left out: the numbers are of the
others, and the exit code is 1. No score is too low to count, unless --threshold says
so. EVAL.md beside the command's source tells what each number means.`,
		Example: `  clipdet eval --images val2017 --annotations instances_val2017.json --json coco.json
  clipdet eval --images scenes --annotations scenes/instances.json --gt-boxes --html report
  clipdet eval --images val2017 --annotations lvis_v1_val.json --shard 2/8 --records shard2.jsonl
  clipdet eval --images scenes --annotations scenes/instances.json --ablate
  clipdet eval merge --annotations lvis_v1_val.json --json lvis.json shard*.jsonl`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%q: pictures come from --images, by the names in --annotations", args[0])
			}
			return nil
		},
		RunE: f.run,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.evalOutputs.add(cmd)
	flags.StringVar(&f.records, "records", "", "keep what was found in each picture in `FILE`, to go on from (default: beside --json, --results or --html, NAME.records.jsonl)")
	flags.StringVar(&f.phrasings, "phrasings", "", "`FILE` of phrases for categories, NAME=PHRASE|PHRASE a line")
	flags.BoolVar(&f.boxes, "gt-boxes", false, "also classify the boxes of the ground truth, as if the proposals were perfect")
	flags.BoolVar(&f.ablate, "ablate", false, "measure how much each part of scoring adds: a table of the flags as they are and with one changed")
	flags.StringVar(&f.shard, "shard", "1/1", "do each Nth picture, from the Ith on, `I/N`")
	f.shown.add(flags)
	f.detectorFlags.add(cmd)
	flags.Lookup("query").Hidden = true
	flags.Lookup("threshold").DefValue, f.threshold = "0", 0
	most := flags.Lookup("max-detections")
	most.DefValue, most.Usage = "0", "keep the `N` best detections of a picture (default: as many as count, 100, or 300 where not everything is annotated)"
	_ = cmd.MarkFlagFilename("records", "jsonl") // fails for an unknown flag only
	cmd.AddCommand(mergeCommand())
	return cmd
}

func (f *evalOutputs) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.images, "images", "", "`DIR` of the pictures")
	flags.StringVar(&f.annotations, "annotations", "", "ground truth: COCO's instances, a JSON `FILE`")
	flags.StringVar(&f.json, "json", "", "write all numbers to `FILE`")
	flags.StringVar(&f.results, "results", "", "write the detections to `FILE`, in COCO's format of results")
	flags.StringVar(&f.html, "html", "", "write a page of it all into `DIR`, with the pictures that have the most errors")
	_ = cmd.MarkFlagDirname("images") // fails for an unknown flag only, as the next
	_ = cmd.MarkFlagDirname("html")
	for _, name := range []string{"annotations", "json", "results"} {
		_ = cmd.MarkFlagFilename(name, "json")
	}
}

// check finds what is wrong in the flags that say where things are.
func (f *evalOutputs) check() error {
	if f.annotations == "" {
		return errors.New("no ground truth: name COCO's instances with --annotations FILE")
	}
	if f.images != "" {
		if info, err := os.Stat(f.images); err != nil {
			return fmt.Errorf("--images: %w", err)
		} else if !info.IsDir() {
			return fmt.Errorf("--images %s: it is no directory", f.images)
		}
	}
	for _, file := range []flagFile{{"--json", f.json}, {"--results", f.results}, {"--records", f.records}} {
		if err := file.check(); err != nil {
			return err
		}
	}
	return nil
}

// apart fails where --json or --results would take the place of each other, of the ground truth or of kept.
func (f *evalOutputs) apart(kept ...flagFile) error {
	return apart([]flagFile{{"--json", f.json}, {"--results", f.results}}, append(kept, flagFile{"--annotations", f.annotations}))
}

// recordsFile is where the records are kept: as --records says, or beside what is written; "" is nowhere.
func (f *evalOutputs) recordsFile() string {
	for _, path := range []string{f.json, f.results, strings.TrimRight(f.html, "/")} {
		if f.records == "" && path != "" {
			return strings.TrimSuffix(path, filepath.Ext(path)) + ".records.jsonl"
		}
	}
	return f.records
}

func (f *evalFlags) check(cmd *cobra.Command) error {
	if err := f.evalOutputs.check(); err != nil {
		return err
	}
	switch {
	case f.images == "":
		return errors.New("no pictures: name their directory with --images DIR")
	case cmd.Flags().Changed("query"):
		return errors.New("--query: the categories of --annotations are the queries; --phrasings FILE says how they are asked")
	}
	if err := f.apart(
		flagFile{"--records", f.recordsFile()}, flagFile{"--phrasings", f.phrasings}, flagFile{"--templates", f.templates}, flagFile{"--background", f.background},
	); err != nil {
		return err
	}
	return f.shown.check()
}

func (f *evalFlags) run(cmd *cobra.Command, _ []string) (err error) {
	if err := f.check(cmd); err != nil {
		return err
	}
	part, err := parseShard(f.shard)
	if err != nil {
		return err
	}
	truth, err := readTruth(f.annotations)
	if err != nil {
		return err
	}
	if f.queries, err = truth.asked(f.phrasings); err != nil {
		return err
	}
	if f.ablate {
		return f.runAblation(cmd, truth, part)
	}
	p, err := f.evalPlan(cmd, truth)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	detector, queries, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer detector.Close()

	made, err := f.madeWith(cmd, truth, detector.Info())
	if err != nil {
		return err
	}
	records, err := openRecords(f.recordsFile(), evalHeader{Made: made, Shard: part.String()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, records.close()) }()
	run := evalRun{
		flags: f, truth: truth, detector: detector, queries: queries, plan: p,
		images: part.of(truth.Images), records: records,
		limits: f.shown.limits(),
		stderr: cmd.ErrOrStderr(),
	}
	if err := run.all(ctx); err != nil {
		return err
	}
	if len(run.images) == 0 {
		newProgress(cmd.ErrOrStderr(), "", 0).say("no picture is in shard %s of %d: there is nothing to measure", part, len(truth.Images))
		return nil
	}
	return f.report(cmd, truth, run.images, made, records.found)
}

// evalPlan is the plan of the flags as eval takes it: queries for the categories, and as many detections as count.
func (f *evalFlags) evalPlan(cmd *cobra.Command, t *truth) (plan, error) {
	p, err := f.plan(cmd)
	if err != nil {
		return p, fmt.Errorf("the categories of %s are asked for: %w", f.annotations, err)
	}
	if f.kept = t.counted(); cmd.Flags().Changed("max-detections") {
		f.kept = f.limits.detections
	}
	if p.params.TopK == 0 || p.params.TopK > f.kept {
		p.params.TopK = f.kept // more can't be among the best of all
	}
	p.params.MaxDetections = math.MaxInt // that is, so many of each query, of which the best of all are kept
	return p, nil
}
