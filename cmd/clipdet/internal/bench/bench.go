// Package bench implements clipdet bench. It measures how fast detection is and where the
// time is spent.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/device"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// Run performs the measurements that the flags and arguments ask for and writes the
// figures.
func (f *Flags) Run(cmd *cobra.Command, args []string) (err error) {
	if len(f.Queries) == 0 && !cmd.Flags().Changed("queries") {
		f.Queries = strings.Fields(defaultQueries)
	}
	if err := f.check(cmd); err != nil {
		return err
	}
	p, err := f.Plan(cmd)
	if err != nil {
		return err
	}
	p.Options.TextCache = ""
	on, err := device.Resolve(f.Device)
	if err != nil {
		return exit.NotOpened(cmd.Context(), err)
	}
	scratch, err := os.MkdirTemp("", "clipdet-bench-")
	if err != nil {
		return exit.Inputs(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()

	b := bench{flags: f, plan: p, device: on, scratch: scratch, progress: console.NewProgress(cmd.ErrOrStderr(), "", 1)}
	bad, err := b.gather(cmd.Context(), args)
	if err != nil {
		return interrupted(cmd.Context(), err)
	}
	b.report.describe(cmd, on, p)
	if err := b.measure(cmd.Context()); err != nil {
		return interrupted(cmd.Context(), err)
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), b.report.table()); err != nil {
		return exit.Inputs(err)
	}
	for _, file := range []struct {
		flag, path string
		write      func(io.Writer) error
	}{{"--json", f.json, b.report.writeJSON}, {"--plot", f.plot, b.report.plot}} {
		if file.path == "" {
			continue
		}
		if err := files.Write(file.path, file.write); err != nil {
			return exit.Inputs(fmt.Errorf("%s: %w", file.flag, err))
		}
	}
	if bad > 0 {
		return exit.Inputs(fmt.Errorf("%d pictures can't be read; the figures are of the others", bad))
	}
	return nil
}

// interrupted returns the error of an interruption if ctx is done, and err otherwise.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return exit.Inputs(errors.New("interrupted: nothing was measured to the end"))
	}
	return err
}

// gather finds or makes the pictures. It reports each picture that can't be read and
// returns their number. It fails if a file of figures would replace a file that is read.
func (b *bench) gather(ctx context.Context, args []string) (bad int, err error) {
	n := b.flags.images
	var all []intake.Input
	if len(args) == 0 {
		if n == 0 {
			n = defaultPictures
		}
		width, height, _ := b.flags.pictureSize() // check has validated it
		if all, err = makePictures(b.scratch, min(n, defaultPictures), width, height); err != nil {
			return 0, exit.Inputs(fmt.Errorf("make pictures: %w", err))
		}
		b.report.Workload.Made = b.flags.size
	} else {
		all = intake.Expand(args)
	}
	if err := files.CheckDistinct(b.flags.written(), append(b.plan.Read, intake.Files(all)...)); err != nil {
		return 0, err
	}
	var readable []intake.Input
	for _, in := range all {
		if n > 0 && len(readable) == n {
			break
		}
		picture, err := intake.Decode(ctx, in, pixels.Limits{})
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err != nil {
			b.progress.Say("%s", console.Naming(in.Path, err))
			bad++
			continue
		}
		readable = append(readable, in)
		b.report.Workload.Megapixels += float64(picture.Bounds().Dx()*picture.Bounds().Dy()) / 1e6
	}
	if len(readable) == 0 {
		return bad, exit.Inputs(errors.New("no picture can be read"))
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
