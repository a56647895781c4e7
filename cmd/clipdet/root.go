package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes, as the help of the root command lists them.
const (
	exitDone   = 0
	exitInputs = 1
	exitUsage  = 2
	exitSetup  = 3
)

// failure is an error that ends the program with a code of its own. Every other error is wrong usage, since cobra's own
// errors are.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// run executes the command line args and returns the exit code. Data goes to stdout, everything else to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	writeError(stderr, err)
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
	return exitUsage
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
  clipdet models list
  clipdet doctor`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return emptyFlag(cmd.Flags())
		},
	}
	root.SetVersionTemplate("clipdet {{.Version}}\n")
	root.PersistentFlags().BoolP("verbose", "v", false, "log what happens, in detail, to stderr")
	root.AddCommand(detectCommand(), calibrateCommand(), evalCommand(), benchCommand(), modelsCommand(), doctorCommand(), schemaCommand())
	return root
}

// emptyFlag fails for a flag without a value, but where that means something. It comes of a script's variable that isn't
// set, and to go on as if the flag weren't there could leave out a lock or a calibration.
func emptyFlag(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(flag *pflag.Flag) {
		if flag.Value.Type() == "string" && flag.Value.String() == "" && flag.Name != "text-cache" && flag.Name != "batch-sizes" {
			err = fmt.Errorf("--%s: its value is empty; leave the flag out for its default", flag.Name)
		}
	})
	return err
}

// logger logs warnings to the command's stderr, and with --verbose all.
func logger(cmd *cobra.Command) *slog.Logger {
	level := slog.LevelWarn
	if verbose, err := cmd.Flags().GetBool("verbose"); err == nil && verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
}
