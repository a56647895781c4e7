package outcome

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/results"
)

// shardsFile is beside the results of shards and says what all of them are made with.
const shardsFile = "shards.json"

// ShardOf returns each nth input, starting with the ith, from 1, and a name for the
// drawings of each, as [intake.Names] gives them to all inputs.
func ShardOf(inputs []intake.Input, i, n int) (part []intake.Input, names []string) {
	all := intake.Names(inputs)
	for k := i - 1; k < len(inputs); k += n {
		part, names = append(part, inputs[k]), append(names, all[k])
	}
	return part, names
}

// OpenShard returns a Writer of DIR/shard-NNNNN.jsonl, the results of the ith shard. The
// file is there when it is whole: Writer.Discard leaves none, and so does a process that
// is killed. OpenShard returns nil if it is there already. made is what the results of all
// shards depend on, by name; if those in dir were made with something else, it fails and
// names it. Several processes may do a shard at once: their files are alike.
func OpenShard(stdout io.Writer, dir string, i int, made map[string]any) (*Writer, error) {
	name := shardName(i)
	if err := sameShards(dir, made); err != nil {
		return nil, err
	}
	switch _, err := os.Stat(filepath.Join(dir, name)); {
	case err == nil:
		return nil, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, exit.Inputs(fmt.Errorf("--shard: %w", err))
	}
	out, err := files.Create(stdout, dir, name)
	if err != nil {
		return nil, exit.Inputs(fmt.Errorf("--shard: %w", err))
	}
	return &Writer{Writer: results.NewJSONLWriter(out), end: out.Close, discard: out.Discard}, nil
}

func shardName(i int) string { return fmt.Sprintf("shard-%05d.jsonl", i) }

// FailedOf returns the number of pictures in the ith shard of dir that failed.
func FailedOf(dir string, i int) (failed int, err error) {
	path := filepath.Join(dir, shardName(i))
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for line, err := range results.ReadJSONL(file, results.Limits{Bytes: 1 << 50}) {
		if err != nil {
			return failed, fmt.Errorf("%s: %w", path, err)
		}
		if line.Record.Error != "" {
			failed++
		}
	}
	return failed, nil
}

// sameShards writes what the shards in dir are made with, or compares it with what was
// written. The first process to write it is right.
func sameShards(dir string, made map[string]any) error {
	want, err := encodeMade(made)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, shardsFile)
	err = files.WriteNew(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(want) })
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return exit.Inputs(fmt.Errorf("--shard: %w", err))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return exit.Inputs(fmt.Errorf("--shard: %w", err))
	}
	var has map[string]json.RawMessage
	if err := json.Unmarshal(data, &has); err != nil {
		return fmt.Errorf("--shard: %s: %w; remove it, or choose another --out", path, err)
	}
	if other := otherMade(has, want); other != "" {
		return fmt.Errorf("--shard: the shards in %s are made with other %s; choose another --out", dir, other)
	}
	return nil
}
