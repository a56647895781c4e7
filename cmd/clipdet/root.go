package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/version"
)

// run executes the command line args and returns the exit code. Data is written to
// stdout, everything else to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &output{to: stdout}
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil && errors.Is(out.err, syscall.EPIPE):
		// The reader of a help or a table, such as head, has enough.
	case out.err != nil && err == nil:
		err = exit.Inputs(out.err)
	case out.err != nil && errors.Is(err, out.err):
		err = exit.Inputs(err) // whatever the command made of it
	case err != nil:
		err = suggested(err)
	}
	if err != nil {
		console.WriteError(stderr, err)
	}
	code := exit.Code(err)
	if code == exit.CodeUsage {
		fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return code
}

// output is stdout. It keeps the first error of a write, so that data that are lost, for
// example on a full disk, are an error of the command even where a table's line is written
// without a look at it.
type output struct {
	to  io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	o.err = cmp.Or(o.err, err)
	return n, err
}

// suggested puts cobra's suggestions, which have lines of their own, into the line of the
// error.
func suggested(err error) error {
	said, list, has := strings.Cut(err.Error(), "\n\nDid you mean this?\n")
	if !has {
		return err
	}
	return fmt.Errorf("%s; did you mean %s?", said, strings.Join(strings.Fields(list), " or "))
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "clipdet",
		Short: "Find in pictures what words name",
		Long: `clipdet finds in pictures what words name, without training on them: a region
proposal network finds candidate boxes, and CLIP tells which of them look like
each query.

Data goes to stdout; progress and logs go to stderr.

Exit codes:
  0  done
  1  some inputs failed; the others are done
  2  wrong usage
  3  the models or the device don't work; see 'clipdet doctor'`,
		Example: `  clipdet detect -q dog -q "bike=a bicycle|a mountain bike" street.jpg
  clipdet eval --images val2017 --annotations instances_val2017.json --models models
  clipdet index --out photos.index photos && clipdet search --index photos.index -q dog
  clipdet serve --addr 127.0.0.1:8080
  clipdet models list
  clipdet doctor`,
		Version:       version.Clipdet(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return emptyFlag(cmd.Flags())
		},
	}
	root.SetVersionTemplate("clipdet {{.Version}}\n")
	root.PersistentFlags().BoolP("verbose", "v", false, "log what happens, in detail, to stderr")
	root.AddCommand(detectCommand(), calibrateCommand(), evalCommand(), indexCommand(), searchCommand(), serveCommand(), benchCommand(), modelsCommand(), doctorCommand(), schemaCommand())
	return root
}

// emptyFlag returns an error if a string flag was given an empty value, except for the
// flags for which that has a meaning. An empty value is usually an unset variable in a
// script. Treating it as an absent flag could silently drop a lock or a calibration.
func emptyFlag(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(flag *pflag.Flag) {
		if flag.Value.Type() == "string" && flag.Value.String() == "" && flag.Name != "text-cache" && flag.Name != "batch-sizes" {
			err = fmt.Errorf("--%s: its value is empty; leave the flag out for its default", flag.Name)
		}
	})
	return err
}
