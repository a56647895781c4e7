package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/index"
)

// indexFlags are the flags of the index command.
type indexFlags struct {
	settings.ScoringFlags
	out          string
	byContent    bool
	shard        string
	shardRegions int
	intake       intake.Flags
	pictureFlags settings.PictureFlags
}

func indexCommand() *cobra.Command { return new(indexFlags).command() }

func (f *indexFlags) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "index --out DIR [flags] IMAGE|DIR|GLOB...",
		Short: "Encode the regions of pictures once, for 'clipdet search'",
		Long: `Finds the regions of each picture, embeds them, and keeps the embeddings in the
directory of --out. 'clipdet search' then finds words in all pictures at once,
without reading the pictures.

Run it again to bring the index up to date: new and changed pictures are encoded,
unchanged ones aren't even opened. A picture has changed if its size or time has,
or with --by-content its content. A picture that was indexed from a directory or
pattern that is given again, and isn't there any more, is removed; of what the list
of --files-from names, nothing is. Paths are kept as they are given, so run it from
the same folder.

The index consists of shards. An interruption, even kill -9 or a power cut, loses
the shard that is being written at most; run the same command again. One process
at a time writes an index; searches may run meanwhile. An index has the digests
of the models that made it, and other models are refused; so are other crops, and
--ignore-exif if it was made without or the reverse.

With --crop-context 1,1.5 each box is seen twice, the second time with what is
around it, and encoding takes twice as long.

--shard I/N encodes a part of the pictures, on one of N machines. Give each its own
--out, and at the end move all files into one directory.

A picture that can't be read is named on stderr, and the others are done; the exit
code is then 1. Rows of pictures that have changed take space until 'clipdet index
compact'. numpy, pandas, polars, DuckDB and others read the files; FORMATS.md in
pkg/index describes them.`,
		Example: `  clipdet index --out photos.index photos
  clipdet index --out photos.index --max-regions 300 photos 'more/*.jpg'
  clipdet index --out photos.index --recursive photos
  clipdet index --out part2 --shard 2/8 --files-from list.txt
  clipdet index compact photos.index
  clipdet index verify photos.index`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && f.intake.FilesFrom == "" {
				return errors.New("no picture: name files, directories or patterns, as in: clipdet index --out photos.index photos")
			}
			return nil
		},
		RunE: f.run,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.out, "out", "o", "", "`DIR` of the index, made where it is missing")
	_ = cmd.MarkFlagDirname("out") // fails only for an unknown flag
	f.AddForIndex(cmd)
	flags.BoolVar(&f.byContent, "by-content", false, "tell changed pictures by their SHA-256, which reads every file, in place of size and time")
	flags.StringVar(&f.shard, "shard", "", "encode only part `I/N` of the pictures, chosen by their paths; env/N takes I from Kubernetes or Slurm, and env takes both from Slurm")
	flags.IntVar(&f.shardRegions, "shard-regions", index.DefaultShardRegions, "write a shard when it has `N` regions")
	f.intake.AddForFiles(flags)
	f.pictureFlags.Add(flags)
	cmd.AddCommand(compactCommand(), verifyIndexCommand())
	return cmd
}

func (f *indexFlags) run(cmd *cobra.Command, args []string) (err error) {
	options := index.Options{ShardRegions: f.shardRegions}
	if f.out == "" {
		return errors.New("--out is missing: name the directory of the index, as in: clipdet index --out photos.index photos")
	}
	if f.shard != "" {
		if options.Part, options.Parts, err = settings.ReadShard(f.shard, os.LookupEnv); err != nil {
			return err
		}
	}
	if f.shardRegions < 1 {
		return fmt.Errorf("--shard-regions %d: want 1 or more", f.shardRegions)
	}
	if err := f.pictureFlags.Check(); err != nil {
		return err
	}
	p, err := f.PlanIndex(cmd)
	if err != nil {
		return err
	}
	found, err := f.intake.Expand(args, cmd.InOrStdin())
	if err != nil {
		return err
	}
	for _, note := range found.Notes {
		console.Say(cmd.ErrOrStderr(), "%s", note)
	}
	ctx := cmd.Context()
	info, err := detect.Resolve(ctx, p.Options)
	if err != nil {
		return exit.NotOpened(ctx, err)
	}
	options.AsStored = f.pictureFlags.Limits().AsStored
	w, err := index.Create(f.out, info, options)
	if errors.Is(err, index.ErrModels) {
		return fmt.Errorf("%w (the flags are --models, --dtype, --crop, --crop-context, --ignore-exif and --out)", err)
	}
	if err != nil {
		return notIndexed(err)
	}
	defer func() {
		if closed := w.Close(); closed != nil {
			err = errors.Join(err, exit.Inputs(closed))
		}
	}()
	job := indexing{w: w, progress: console.NewProgress(cmd.ErrOrStderr(), "indexing", 0)}
	covers := func(path string) bool {
		return slices.ContainsFunc(args, func(arg string) bool { return f.intake.Covers(arg, path) })
	}
	removed, err := job.remove(found.Inputs, covers)
	if err != nil {
		return exit.Inputs(err)
	}
	for _, in := range found.Inputs {
		if options.Parts == 0 || index.PartOf(in.Path, options.Parts) == options.Part {
			job.look(in, f.byContent)
		}
	}
	// A row of the Parquet file takes about 25 bytes.
	perRegion := 2*info.Image.Manifest.EmbeddingWidth + 25
	job.progress.Say("%d pictures are unchanged, %d to be encoded, %d removed; at most %d regions and %.1f MB are added",
		job.unchanged, len(job.inputs), removed, len(job.inputs)*p.Options.Proposals,
		float64(len(job.inputs)*p.Options.Proposals*perRegion)/1e6)
	if len(job.inputs) > 0 {
		detector, err := p.Detector(ctx)
		if err != nil {
			return err
		}
		defer detector.Close()
		job.progress = console.NewProgress(cmd.ErrOrStderr(), "indexing", len(job.inputs))
		budget := p.Budget(f.pictureFlags.Memory)
		images, decoded := budget.Keep(ctx, intake.DecodeAhead(ctx, job.inputs, f.pictureFlags.Limits(), intake.Decoders()), len(job.inputs))
		for regions, err := range detector.RegionsAll(ctx, images) {
			if err != nil && ctx.Err() != nil {
				break
			}
			budget.Release(<-decoded)
			if err := job.add(ctx, regions, err); err != nil {
				return exit.Inputs(err)
			}
		}
		job.progress.Finish()
	}
	if err := w.Close(); err != nil {
		return exit.Inputs(err)
	}
	return job.end()
}

// notIndexed gives an error of package index its exit code, and says what to do about
// damage.
func notIndexed(err error) error {
	if errors.Is(err, index.ErrDamaged) {
		err = fmt.Errorf("%w; remove the .json of each damaged shard, which 'clipdet index verify' names, and run 'clipdet index' as before: it encodes the pictures of these shards again", err)
	}
	if errors.Is(err, index.ErrModels) || errors.Is(err, index.ErrOption) {
		return err
	}
	return exit.Inputs(err)
}

// indexing is one run of the index command.
type indexing struct {
	w         *index.Writer
	progress  console.Progress
	inputs    []intake.Input  // that are to be encoded
	pictures  []index.Picture // of them
	looked    int             // at how many inputs
	unchanged int
	done      int // of inputs: encoded, or failed
	failed    int
}

// look sorts an input into those that are unchanged, failed or to be encoded.
func (j *indexing) look(in intake.Input, byContent bool) {
	j.looked++
	var p index.Picture
	err := in.Err
	if err == nil && len(intake.Files([]intake.Input{in})) == 0 {
		err = errors.New("an index is of files; save it as one")
	}
	if err == nil && !utf8.ValidString(in.Path) {
		err = errors.New("its path isn't UTF-8, which an index needs; rename it")
	}
	if err == nil {
		p, err = index.Look(in.Path)
	}
	if err == nil && byContent {
		p, err = p.Read()
	}
	switch {
	case err != nil:
		j.fail(in.Path, err)
	case j.w.Has(p):
		j.unchanged++
	default:
		j.inputs, j.pictures = append(j.inputs, in), append(j.pictures, p)
	}
}

func (j *indexing) fail(path string, err error) {
	j.failed++
	j.progress.Say("%s", console.Naming(path, err))
}

// add writes the regions of the next picture, or reports that it failed. What the index
// has of a picture that has changed and can't be read any more goes.
func (j *indexing) add(ctx context.Context, regions *detect.Regions, failed error) error {
	p := j.pictures[j.done]
	j.done++
	j.progress.Step()
	if failed == nil {
		defer regions.Close()
		p, failed = p.Read()
	}
	if failed == nil {
		failed = j.w.Append(ctx, p, regions)
		if failed != nil && !errors.Is(failed, index.ErrOption) {
			return failed
		}
	}
	if failed == nil {
		return nil
	}
	j.fail(j.inputs[j.done-1].Path, failed)
	return j.w.Remove(p.Path)
}

// remove removes the pictures of the index that a directory or pattern of the arguments
// covers, and that aren't there any more. It returns their number.
func (j *indexing) remove(inputs []intake.Input, covers func(path string) bool) (int, error) {
	there := make(map[string]bool)
	for _, in := range inputs {
		there[filepath.Clean(in.Path)] = true
	}
	n := 0
	for _, path := range j.w.Paths() {
		if there[path] || !covers(path) {
			continue
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := j.w.Remove(path); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// end returns the error of a run that didn't do all.
func (j *indexing) end() error {
	switch {
	case j.done < len(j.inputs):
		return exit.Inputs(fmt.Errorf("interrupted: %d of %d pictures are done, and are kept", j.done, len(j.inputs)))
	case j.failed > 0:
		return exit.Inputs(fmt.Errorf("%d of %d pictures failed", j.failed, j.looked))
	}
	return nil
}

func compactCommand() *cobra.Command {
	var options index.Options
	cmd := &cobra.Command{
		Use:   "compact [flags] DIR",
		Short: "Write an index anew, without what has changed or was removed",
		Long: `Writes the rows that searches see into new shards, and removes the old ones. It
needs the space of both for a while. Killed at any time, it leaves an index with
the same pictures. Without changed or removed pictures it does nothing, unless
shards are smaller than --shard-regions.`,
		Example: `  clipdet index compact photos.index`,
		Args:    oneIndex,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := index.Compact(cmd.Context(), args[0], options); err != nil {
				return notIndexed(err)
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&options.ShardRegions, "shard-regions", index.DefaultShardRegions, "write a shard when it has `N` regions")
	return cmd
}

func verifyIndexCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Read every byte of an index and compare checksums",
		Long: `Reads every byte of an index, compares it with the checksums that were written, and
names each file that is damaged or missing. The exit code is 1 if there is one.

A shard without its .json isn't part of the index. So remove the .json of a damaged
shard, and run 'clipdet index' as before: it encodes the pictures of that shard again.`,
		Example: `  clipdet index verify photos.index`,
		Args:    oneIndex,
		RunE: func(cmd *cobra.Command, args []string) error {
			wrong, err := index.Verify(cmd.Context(), args[0])
			if err = errors.Join(append(wrong, err)...); err != nil {
				return exit.Inputs(err)
			}
			return nil
		},
	}
}

func oneIndex(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments, want the directory of one index", len(args))
	}
	return nil
}
