package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/version"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/model/builtin"
)

func modelsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List, describe, check, compare and lock models",
		Long: `A detector needs three TorchScript archives: a region proposal network (rpn),
and the two towers of one CLIP (clip-image, clip-text). A directory of models
holds them as *.pt; the manifest inside each says what it is, so their names are
free. The exports in torchscript/ make them.

An archive is code that runs here. Where a DIR is asked for, a lock file (*.json)
in it may be named, and then nothing else than what was locked is taken.`,
		Args: cobra.NoArgs, // an unknown subcommand is an error, not a call for help
		RunE: func(*cobra.Command, []string) error {
			return errors.New("name what to do: list, inspect, verify, compare or lock")
		},
	}
	cmd.AddCommand(modelsListCommand(), modelsInspectCommand(), modelsVerifyCommand(), modelsCompareCommand(), modelsLockCommand())
	return cmd
}

// sets returns the model sets of the directories or lock files dirs, or the built-in set
// if there are none.
func sets(dirs []string) []model.Set {
	if len(dirs) == 0 {
		return []model.Set{builtin.Models()}
	}
	var sets []model.Set
	for _, dir := range dirs {
		sets = append(sets, settings.ModelSet(dir))
	}
	return sets
}

func completeDirs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func modelsListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list [DIR...]",
		Short: "List the built-in models, or the models in directories",
		Example: `  clipdet models list
  clipdet models list models/vit-b-32`,
		ValidArgsFunction: completeDirs,
		RunE: func(cmd *cobra.Command, args []string) error {
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "FILE\tKIND\tDTYPE\tMB\tARCHITECTURE\tWEIGHTS\tLICENCE")
			var problems []error
			for _, set := range sets(args) {
				entries, err := set.List()
				if err == nil && len(entries) == 0 {
					err = fmt.Errorf("%w: %v: there is no *.pt", model.ErrMissing, set)
				}
				problems = append(problems, err)
				for _, e := range entries {
					if e.Err != nil {
						problems = append(problems, fmt.Errorf("%v: %s: %w", set, console.QuotedPath(e.Name), e.Err))
						continue
					}
					m := e.Manifest
					fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\t%s\t%s\t%s\n", console.QuotedPath(e.Name), m.Kind, m.DType, float64(e.Size)/1e6,
						console.Printable(m.Architecture), console.Printable(m.Weights.Name), console.Printable(m.Weights.Licence))
				}
			}
			if err := table.Flush(); err != nil {
				return exit.Inputs(err)
			}
			return exit.Setup(errors.Join(problems...))
		},
	}
}

func modelsInspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "inspect FILE",
		Short:   "Write an archive's manifest as JSON",
		Example: `  clipdet models inspect models/vit-b-32/rpn.pt | jq .weights`,
		Args:    exactlyOne("FILE"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"pt"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := model.Inspect(args[0])
			if err != nil {
				return exit.Setup(err)
			}
			encoder := json.NewEncoder(cmd.OutOrStdout())
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(m); err != nil {
				return exit.Inputs(err)
			}
			return nil
		},
	}
}

func modelsVerifyCommand() *cobra.Command {
	var f settings.ModelFlags
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Check each model's file and its known answer",
		Long: `Reads each archive of a directory, or each built-in one, compares it with the
digest in its manifest, runs it on the input that the manifest names, and compares
the output with the one that the export recorded. Then it sees whether the
archives make a detector. A line is "ok", "problem" with the reason, "ignored" for
a file that is no model of clipdet, or "not run" where the device lacks the type of
the weights (float16 on a CPU, int8 on a GPU), so that only the file was checked.`,
		Example: `  clipdet models verify
  clipdet models verify models/vit-b-32 --device cuda:0`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%d directories: verify one at a time", len(args))
			}
			return f.Check()
		},
		ValidArgsFunction: completeDirs,
		RunE: func(cmd *cobra.Command, args []string) error {
			set := sets(args)[0]
			entries, err := set.List()
			if err != nil {
				return exit.Setup(err)
			}
			width := 0
			for _, e := range entries {
				width = max(width, len(console.QuotedPath(e.Name)))
			}
			var failed []string
			// whole reports whether every model file could be read. Only then is the set
			// checked as a whole.
			whole := true
			for _, e := range entries {
				word, detail := "ok", ""
				switch note, err := verify(cmd, set, e, f.Device); {
				case cmd.Context().Err() != nil:
					return exit.Inputs(errors.New("interrupted: not all models were verified"))
				case errors.Is(err, model.ErrNoManifest):
					word, detail = "ignored", err.Error()
				case errors.Is(err, detect.ErrNotHere):
					word, detail = "not run", fmt.Sprintf("%s in %s: %v; its file is whole", e.Manifest.Kind, e.Manifest.DType, detect.ErrNotHere)
				case err != nil:
					word, detail = "problem", err.Error()
					failed = append(failed, console.QuotedPath(e.Name))
					whole = whole && e.Err == nil
				default:
					detail = note
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%-8s %-*s  %s\n", word, width, console.QuotedPath(e.Name), console.Printable(detail))
			}
			var problems []error
			if len(failed) > 0 {
				problems = append(problems, fmt.Errorf("%d of the above do not work: %s", len(failed), strings.Join(failed, ", ")))
			}
			if whole {
				problems = append(problems, set.Check(cmd.Context()))
			}
			return exit.Setup(errors.Join(problems...))
		},
	}
	f.AddDevice(cmd)
	return cmd
}

func modelsLockCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "lock DIR",
		Short: "Write down which models are trusted",
		Long: `Reads the archives of a directory and writes a lock file: the name, kind, size and
sha256 of each, as JSON. With that file as --models, or as --lock beside --models,
clipdet takes these archives alone, and refuses a file that differs by a byte, that
is missing, or that came later. Verify the models first.`,
		Example: `  clipdet models lock models --out models/lock.json
  clipdet detect --models models/lock.json -q dog street.jpg
  clipdet models lock models --out trusted.json
  clipdet detect --models models --lock trusted.json -q dog street.jpg`,
		Args:              exactlyOne("DIR"),
		ValidArgsFunction: completeDirs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if out != "" && !settings.IsLock(out) {
				return fmt.Errorf("--out %s: a lock file is named *.json", out)
			}
			lock, err := model.LockDir(cmd.Context(), args[0])
			if cmd.Context().Err() != nil {
				return exit.Inputs(errors.New("interrupted: no lock was written"))
			}
			if err != nil {
				return exit.Setup(err)
			}
			write := func(w io.Writer) error {
				_, err := w.Write(lock)
				return err
			}
			if out != "" {
				err = files.Write(out, write)
			} else {
				err = write(cmd.OutOrStdout())
			}
			if err != nil {
				return exit.Inputs(fmt.Errorf("write the lock: %w", err))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write to `FILE` (default: stdout)")
	_ = cmd.MarkFlagFilename("out", "json") // fails only for an unknown flag
	return cmd
}

// verify checks one archive of a set and returns a note on its result. Its errors don't
// begin with the file's name, because the caller prints the name before them.
func verify(cmd *cobra.Command, set model.Set, e model.Entry, device string) (string, error) {
	if e.Err != nil {
		return "", e.Err
	}
	difference, tolerance, err := detect.Verify(cmd.Context(), set, e.Name, device)
	if err != nil {
		_, why, _ := strings.Cut(err.Error(), e.Name+": ")
		if dir, rest, named := strings.Cut(why, e.Name+": "); named && strings.HasSuffix(dir, "/") && !strings.Contains(dir, ": ") {
			why = rest // the reason after the path
		}
		if !errors.Is(err, detect.ErrNotHere) {
			err = errors.New(why)
		}
		return "", err
	}
	m := e.Manifest
	note := fmt.Sprintf("%s in %s, difference %.2g (up to %.2g is right)", m.Kind, m.DType, difference, tolerance)
	if other := m.OtherTorch(version.Libtorch()); other != "" {
		note += "; " + other
	}
	return note, nil
}

func exactlyOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("want one %s, got %d", what, len(args))
		}
		return nil
	}
}
