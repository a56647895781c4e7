package evaluate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
)

// outputs are the flags for the input and output files of eval and eval merge.
type outputs struct {
	images, annotations string
	json, results, html string
	records             string
}

// Flags are the flags of the eval command.
type Flags struct {
	settings.DetectorFlags
	outputs
	phrasings    string
	boxes        bool
	shard        string
	pictureFlags settings.PictureFlags
	ablate       bool

	kept int // how many of a picture's detections count
}

// Add defines the flags on cmd.
func (f *Flags) Add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	f.outputs.add(cmd)
	flags.StringVar(&f.records, "records", "", "keep what was found in each picture in `FILE`, to continue from (default: beside --json, --results or --html, NAME.records.jsonl)")
	flags.StringVar(&f.phrasings, "phrasings", "", "`FILE` of phrases for categories, NAME=PHRASE|PHRASE a line")
	flags.BoolVar(&f.boxes, "gt-boxes", false, "also classify the boxes of the ground truth, as if the proposals were perfect")
	flags.BoolVar(&f.ablate, "ablate", false, "measure how much each part of scoring adds: a table of the flags as they are and with one changed")
	flags.StringVar(&f.shard, "shard", "1/1", "do each Nth picture, from the Ith on, `I/N`; env/N takes I from Kubernetes or Slurm, and env takes both from Slurm")
	f.pictureFlags.Add(flags)
	f.DetectorFlags.Add(cmd)
	flags.Lookup("query").Hidden, flags.Lookup("queries").Hidden = true, true
	flags.Lookup("threshold").DefValue, f.Threshold = "0", 0
	most := flags.Lookup("max-detections")
	most.DefValue, most.Usage = "0", "keep the `N` best detections of a picture (default: as many as count, 100, or 300 where not everything is annotated)"
	_ = cmd.MarkFlagFilename("records", "jsonl") // fails only for an unknown flag
}

func (f *outputs) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.images, "images", "", "`DIR` of the pictures")
	flags.StringVar(&f.annotations, "annotations", "", "ground truth: COCO's instances, a JSON `FILE`")
	flags.StringVar(&f.json, "json", "", "write all numbers to `FILE`")
	flags.StringVar(&f.results, "results", "", "write the detections to `FILE`, in COCO's format of results")
	flags.StringVar(&f.html, "html", "", "write a page of it all into `DIR`, with the pictures that have the most errors")
	_ = cmd.MarkFlagDirname("images") // fails only for an unknown flag, as the next
	_ = cmd.MarkFlagDirname("html")
	for _, name := range []string{"annotations", "json", "results"} {
		_ = cmd.MarkFlagFilename(name, "json")
	}
}

// check returns an error if a flag that names a file or a directory is wrong.
func (f *outputs) check() error {
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
	for _, file := range []files.Named{files.GivenBy("--json", f.json), files.GivenBy("--results", f.results)} {
		if err := file.Check(); err != nil {
			return err
		}
	}
	return files.GivenBy("--records", f.records).CheckPlace() // it is written in place
}

// checkDistinct returns an error if --json or --results would replace each other, the
// ground truth or one of kept.
func (f *outputs) checkDistinct(kept ...files.Named) error {
	return files.CheckDistinct([]files.Named{files.GivenBy("--json", f.json), files.GivenBy("--results", f.results)}, append(kept, files.GivenBy("--annotations", f.annotations)))
}

// recordsFile returns the path of the records: the value of --records, or a path beside
// the first of --json, --results and --html. It returns "" if none is given.
func (f *outputs) recordsFile() string {
	for _, path := range []string{f.json, f.results, strings.TrimRight(f.html, "/")} {
		if f.records == "" && path != "" {
			return strings.TrimSuffix(path, filepath.Ext(path)) + ".records.jsonl"
		}
	}
	return f.records
}

func (f *Flags) check(cmd *cobra.Command) error {
	if err := f.outputs.check(); err != nil {
		return err
	}
	switch {
	case f.images == "":
		return errors.New("no pictures: name their directory with --images DIR")
	case cmd.Flags().Changed("query") || cmd.Flags().Changed("queries"):
		return errors.New("--query: the categories of --annotations are the queries; --phrasings FILE says how they are asked")
	}
	if err := f.checkDistinct(files.GivenBy("--records", f.recordsFile()), files.GivenBy("--phrasings", f.phrasings)); err != nil {
		return err
	}
	return f.pictureFlags.Check()
}
