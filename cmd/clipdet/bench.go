package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/pkg/device"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// benchFlags are those of the bench command.
type benchFlags struct {
	detectorFlags
	images     int
	size       string
	warmUp     int
	rounds     int
	batchSizes string
	pictures   bool
	stages     bool
	json, plot string
}

// benchQueries are what is asked for where no query is given: eighty names, as many as COCO has.
const benchQueries = `ant apple axe banana basket bear bed bee bell bicycle boat book bottle bread bus butterfly cactus cake
camel camera candle car carrot castle cat chair cherry chicken clock cloud coin cow crab crown dog dolphin door drum
duck eagle elephant fish flower fox frog ghost gift grapes guitar hammer hat horse house key kite knife lamp leaf
lemon lion lizard lock moon mouse mushroom octopus onion owl panda peach pear pencil penguin pig pizza rabbit rocket
shoe snail tree`

const benchPictures = 8 // that are made where none is given

func benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [flags] [IMAGE|DIR|GLOB...]",
		Short: "Measure how fast detection is here, and where the time goes",
		Long: `Measures detection on this machine, with the flags of detect, and writes a table.

Rounds: all pictures go the way of "clipdet detect --pictures" from files to
results, where reading, detection and drawing overlap: images/s, and crops/s (the
proposals). Nothing of the warm-up counts.

Stages: then the pictures go one at a time, and each stage is timed alone; the
device is waited for at its end. decode: file to pixels; upload: pixels to the
device; rpn: proposals, to the host; crop: boxes cut out and resized; encode: CLIP
of the crops; rank: scores, top-k and NMS; download: scores to the host; draw: three
pictures, to files; other: what no stage has. text is CLIP of the phrases, encoded
anew in each round, though detect does it once for all pictures.

Operations: what the models' manifests say that a forward costs in convolutions,
matrix products and attention, two for a multiply-add, by the time that it takes.
Padding, of pictures or phrases, is no work. The peak is the best product of two
large matrices that libtorch does here, in the same type of numbers, on the same
device and threads, tried between the other parts. A GPU convolves float32 as TF32,
and may then pass that peak.

Memory: the process' largest, and how much it grew from the end of the warm-up to
the end of the rounds; on a GPU what was taken of it since the start, by others too.

Figures are of the device in the first line alone: one that was measured on a CPU
says nothing of GPUs. Without pictures, seeded ones are made; without queries,
eighty names are asked for. The three drawn pictures of each go to the temporary
directory, and are removed at the end.`,
		Example: `  clipdet bench
  clipdet bench --models models --rounds 5 --json bench.json --plot bench.svg photos
  clipdet bench --device cuda:0 --dtype bfloat16 --batch-sizes 1,16,64,256,1024`,
		RunE: f.run,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.images, "images", 0, fmt.Sprintf("`N` pictures a round, given ones over again where they are fewer; 0 is each once, or %d made ones", benchPictures))
	flags.StringVar(&f.size, "size", "640x480", "`WIDTHxHEIGHT` of made pictures, pixels")
	flags.IntVar(&f.warmUp, "warm-up", 3, "`N` pictures before anything counts")
	flags.IntVar(&f.rounds, "rounds", 3, "measure everything `N` times")
	flags.StringVar(&f.batchSizes, "batch-sizes", "1,2,4,8,16,32,64", "crops that CLIP encodes at once, `N,N,...`, to measure alone; \"\" is none")
	flags.BoolVar(&f.stages, "stages", true, "take the pictures through the stages one at a time too, and measure the peak; without it rounds and --batch-sizes alone")
	flags.BoolVar(&f.pictures, "pictures", true, "draw the three pictures of each")
	flags.StringVar(&f.json, "json", "", "also write every figure, the machine, versions and flags to `FILE`")
	flags.StringVar(&f.plot, "plot", "", "draw crops/s by --batch-sizes into `FILE`, an SVG")
	f.detectorFlags.add(cmd)
	flags.Lookup("text-cache").Hidden = true
	_ = cmd.MarkFlagFilename("json", "json") // fails for an unknown flag only, as the next
	_ = cmd.MarkFlagFilename("plot", "svg")
	return cmd
}

// check finds what is wrong in the flags that bench alone has.
func (f *benchFlags) check(cmd *cobra.Command) error {
	switch {
	case f.images < 0:
		return fmt.Errorf("--images %d: want 0 (each once) or more", f.images)
	case f.warmUp < 0:
		return fmt.Errorf("--warm-up %d: want 0 or more", f.warmUp)
	case f.rounds < 1:
		return fmt.Errorf("--rounds %d: want 1 or more", f.rounds)
	case f.plot != "" && filepath.Ext(f.plot) != ".svg":
		return fmt.Errorf("--plot %s: want a name that ends in .svg", f.plot)
	case cmd.Flags().Changed("text-cache"):
		return errors.New("--text-cache: bench encodes the phrases anew each time; leave it out")
	}
	written := []flagFile{{"--json", f.json}, {"--plot", f.plot}}
	for _, file := range written {
		if err := file.check(); err != nil {
			return err
		}
	}
	if err := apart(written, nil); err != nil {
		return err
	}
	sizes, err := f.batches()
	if err == nil && f.plot != "" && len(sizes) == 0 {
		err = errors.New("--plot: it is of --batch-sizes, and there are none")
	}
	if err != nil {
		return err
	}
	_, _, err = f.pictureSize()
	return err
}

// batches are the --batch-sizes.
func (f *benchFlags) batches() (sizes []int, err error) {
	const most = 1 << 14
	for word := range strings.FieldsFuncSeq(f.batchSizes, func(r rune) bool { return r == ',' }) {
		size, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || size < 1 || size > most {
			return nil, fmt.Errorf("--batch-sizes %q: want numbers from 1 to %d, as in 1,8,64", f.batchSizes, most)
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}

// maxPictureSide keeps a made picture below the pixels that are read.
const maxPictureSide = 10_000

func (f *benchFlags) pictureSize() (width, height int, err error) {
	var rest string
	n, _ := fmt.Sscanf(f.size+" ", "%dx%d%s", &width, &height, &rest) // its error is that rest is empty, as it should be
	if n != 2 || min(width, height) < 1 || max(width, height) > maxPictureSide {
		return 0, 0, fmt.Errorf("--size %q: want WIDTHxHEIGHT, each 1 to %d, as in 640x480", f.size, maxPictureSide)
	}
	return width, height, nil
}

func (f *benchFlags) run(cmd *cobra.Command, args []string) (err error) {
	if len(f.queries) == 0 {
		f.queries = strings.Fields(benchQueries)
	}
	if err := f.check(cmd); err != nil {
		return err
	}
	p, err := f.plan(cmd)
	if err != nil {
		return err
	}
	p.options.TextCache = ""
	on, err := device.Resolve(f.device)
	if err != nil {
		return setupFailure(cmd.Context(), err)
	}
	scratch, err := os.MkdirTemp("", "clipdet-bench-")
	if err != nil {
		return &failure{exitInputs, err}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()

	b := bench{flags: f, plan: p, device: on, scratch: scratch, progress: newProgress(cmd.ErrOrStderr(), "", 1)}
	bad, err := b.gather(args)
	if err != nil {
		return err
	}
	b.report.describe(cmd, on, p)
	if err := b.measure(cmd.Context()); err != nil {
		return interrupted(cmd.Context(), err)
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), b.report.table()); err != nil {
		return &failure{exitInputs, err}
	}
	for _, file := range []struct {
		flag, path string
		write      func(io.Writer) error
	}{{"--json", f.json, b.report.writeJSON}, {"--plot", f.plot, b.report.plot}} {
		if file.path == "" {
			continue
		}
		if err := writeFile(file.path, file.write); err != nil {
			return &failure{exitInputs, fmt.Errorf("%s: %w", file.flag, err)}
		}
	}
	if bad > 0 {
		return &failure{exitInputs, fmt.Errorf("%d pictures can't be read; the figures are of the others", bad)}
	}
	return nil
}

// interrupted says of an error that the user caused it, where that is so.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &failure{exitInputs, errors.New("interrupted: nothing was measured to the end")}
	}
	return err
}

// gather finds or makes the pictures. It gives the number of those that can't be read, which it names.
func (b *bench) gather(args []string) (bad int, err error) {
	n := b.flags.images
	var all []input
	if len(args) == 0 {
		if n == 0 {
			n = benchPictures
		}
		width, height, _ := b.flags.pictureSize() // checked
		if all, err = makePictures(b.scratch, min(n, benchPictures), width, height); err != nil {
			return 0, &failure{exitInputs, fmt.Errorf("make pictures: %w", err)}
		}
		b.report.Workload.Made = b.flags.size
	} else {
		all = expand(args)
	}
	var readable []input
	for _, in := range all {
		if n > 0 && len(readable) == n {
			break
		}
		picture, err := decode(in, pixels.Limits{})
		if err != nil {
			b.progress.say("%s", naming(in.path, err))
			bad++
			continue
		}
		readable = append(readable, in)
		b.report.Workload.Megapixels += float64(picture.Bounds().Dx()*picture.Bounds().Dy()) / 1e6
	}
	if len(readable) == 0 {
		return bad, &failure{exitInputs, errors.New("no picture can be read")}
	}
	b.report.Workload.Megapixels /= float64(len(readable))
	if n == 0 {
		n = len(readable)
	}
	for i := range n {
		b.inputs = append(b.inputs, readable[i%len(readable)])
	}
	b.report.Workload.Pictures, b.report.Workload.Different = n, min(n, len(readable))
	return bad, nil
}
