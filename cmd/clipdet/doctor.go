package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/doctor"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
)

func doctorCommand() *cobra.Command {
	var f settings.ModelFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what works here and what does not, with the fix",
		Long: `Checks what detection needs: the libraries, the device, memory, the caches, and
the models, each of which answers its known answer. It also says which type of
weights --dtype takes, and why. A line is "ok", "warning" or "problem". The last
two are followed by what to do about it. Detection works in spite of a warning;
with a problem the exit code is 3.

Where libtorch is missing or another than at the build, no program starts, not even
this one: './setup-libtorch.sh --check ./clipdet' says why.`,
		Example: `  clipdet doctor
  clipdet doctor --models models/vit-b-32 --device cuda:0`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("doctor takes no argument, got %q", args[0])
			}
			return f.Check()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return doctor.Examine(cmd, &f)
		},
	}
	f.Add(cmd)
	return cmd
}
