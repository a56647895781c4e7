package main

import (
	"errors"
	"fmt"
	"maps"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/pkg/results"
)

// mergeFlags are those of eval merge.
type mergeFlags struct{ evalOutputs }

func mergeCommand() *cobra.Command {
	var f mergeFlags
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
		RunE: f.run,
	}
	cmd.Flags().SortFlags = false
	f.evalOutputs.add(cmd)
	return cmd
}

func (f *mergeFlags) run(cmd *cobra.Command, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	var records []flagFile
	for _, path := range args {
		records = append(records, flagFile{"the records", path})
	}
	if err := f.apart(records...); err != nil {
		return err
	}
	t, err := readTruth(f.annotations)
	if err != nil {
		return err
	}
	made, merged, err := mergeRecords(args)
	if err != nil {
		return err
	}
	if made["annotations"] != t.digest {
		return fmt.Errorf("--annotations %s: the records are of another file, whose sha256 is %s", f.annotations, made["annotations"])
	}
	for _, image := range t.Images {
		if _, ok := merged[image.FileName]; !ok {
			return &failure{exitInputs, fmt.Errorf("there is no record of %s: that shard isn't done; run its command again", image.FileName)}
		}
	}
	return f.report(cmd, t, t.Images, made, merged)
}

// mergeRecords reads the records of all shards, which must be of one evaluation and each there once.
func mergeRecords(paths []string) (made map[string]string, all map[string]results.Record, err error) {
	var first evalHeader
	all = map[string]results.Record{}
	by := map[string]string{} // paths by shard
	for i, path := range paths {
		file, err := openText(path)
		if err != nil {
			return nil, nil, err
		}
		header, found, _, err := readRecords(file)
		file.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		part, err := parseShard(header.Shard)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		case part.n != len(paths):
			return nil, nil, fmt.Errorf("%s is shard %s, so there are %d files to merge, not %d", path, part, part.n, len(paths))
		case by[header.Shard] != "":
			return nil, nil, fmt.Errorf("%s and %s are both shard %s", by[header.Shard], path, header.Shard)
		}
		by[header.Shard] = path
		if i == 0 {
			first = header
		}
		header.Shard = first.Shard
		if lines := first.differences(header); len(lines) > 0 {
			head := fmt.Errorf("%s and %s were made differently", paths[0], path)
			return nil, nil, errors.Join(append([]error{head}, lines...)...)
		}
		maps.Copy(all, found)
	}
	return first.Made, all, nil
}
