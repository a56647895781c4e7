package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/evaluate"
)

func mergeCommand() *cobra.Command {
	var f evaluate.MergeFlags
	cmd := &cobra.Command{
		Use:   "merge --annotations FILE [flags] RECORDS...",
		Short: "Put the records of shards together, or measure records again",
		Long: `Reads the records of all shards of one evaluation and writes what "clipdet eval" writes
of the whole: the same numbers and files, to the byte. Without --shard there is one file,
and its numbers are computed again. No model is needed, and pictures for --html alone.`,
		Example: `  clipdet eval merge --annotations instances_val2017.json --json coco.json shard*.jsonl`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no records: name the files that eval --records wrote")
			}
			return nil
		},
		RunE: f.Run,
	}
	f.Add(cmd)
	return cmd
}
