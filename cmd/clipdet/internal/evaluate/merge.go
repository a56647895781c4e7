package evaluate

import (
	"errors"
	"fmt"
	"maps"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/pkg/results"
)

// MergeFlags are the flags of eval merge.
type MergeFlags struct{ outputs }

// Add defines the flags on cmd.
func (f *MergeFlags) Add(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	f.outputs.add(cmd)
}

// Run measures the records in the files args.
func (f *MergeFlags) Run(cmd *cobra.Command, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	var records []files.Named
	for _, path := range args {
		records = append(records, files.GivenBy("the records", path))
	}
	if err := f.checkDistinct(records...); err != nil {
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
			return exit.Inputs(fmt.Errorf("there is no record of %s: that shard isn't done; run its command again", image.FileName))
		}
	}
	return f.report(cmd, t, t.Images, made, merged)
}

// mergeRecords reads the records of all shards. They must be of one evaluation, and each
// shard must occur once.
func mergeRecords(paths []string) (made map[string]string, all map[string]results.Record, err error) {
	var first results.EvalHeader
	all = map[string]results.Record{}
	by := map[string]string{} // shard to path
	for i, path := range paths {
		file, err := files.Open(path)
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
		if lines := differences(first, header); len(lines) > 0 {
			head := fmt.Errorf("%s and %s were made differently", paths[0], path)
			return nil, nil, errors.Join(append([]error{head}, lines...)...)
		}
		maps.Copy(all, found)
	}
	return first.Made, all, nil
}
