package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/evaluate"
)

func evalCommand() *cobra.Command {
	var f evaluate.Flags
	cmd := &cobra.Command{
		Use:   "eval --images DIR --annotations FILE [flags]",
		Short: "Measure AP, AR and errors on annotated pictures",
		Long: `Asks every picture of a data set for all of its categories and measures what is
found, in COCO's way: the numbers equal pycocotools', or, where the data set
says of each picture what isn't annotated (LVIS), LVIS's API's.

--annotations is COCO's instances JSON, or LVIS's. A category's name is a query, as
the templates take it: "_" becomes a space and "/" becomes "or". --phrasings says it
otherwise, a line for each category: NAME=PHRASE|PHRASE, as detect's -q has it,
where {} stands for the name; empty lines and lines that begin with # don't count.
A picture is DIR/file_name; else the one file below DIR that is named so. A file_name
may be as other systems write it: with \ or %20, absolute, with accents composed in the
other way. Ids may be 1, 1.0 or "1"; a byte order mark, and NaN where it doesn't matter,
are skipped. Annotations of pictures that aren't listed are left out, as pycocotools
leaves them out, and counted on stderr. An annotation with the id 0 counts as missed,
as with pycocotools, which is said too.

Pictures are turned upright by their EXIF or XMP. Where the annotations are of the
stored pixels, as some tools make them, measure with --ignore-exif. A picture whose
size tells that it is so is refused; where no size can tell, it is said on stderr.

Standard output is a table: AP and AR; what the proposals cover, whatever the
category; with --gt-boxes how the boxes of the ground truth are classified; what
went wrong, by TIDE's kinds; and the categories that are best and worst.

Each picture's record is added to --records at once. The same command continues where
an interrupted one ended and tries failed pictures again; a command that would find
something else is refused. --shard I/N does each Nth picture, from the Ith on, and
"clipdet eval merge" puts the records of all shards together. The same input on the
same kind of device gives the same --json and --results, to the byte, however often
it was interrupted.

--ablate prints a Markdown table instead: AP, AP50, AR100 and the time of the flags as
they are, and with one of them changed at a time (templates, crops, background, ranks,
suppression). Pictures are encoded again only where crops or the background change.
--json has its numbers; nothing is kept to continue from.

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
		RunE: f.Run,
	}
	f.Add(cmd)
	cmd.AddCommand(mergeCommand())
	return cmd
}
