package settings

import (
	"log/slog"

	"github.com/spf13/cobra"
)

// logger returns a logger to the command's stderr. It logs warnings, or everything with
// --verbose.
func logger(cmd *cobra.Command) *slog.Logger {
	level := slog.LevelWarn
	if verbose, err := cmd.Flags().GetBool("verbose"); err == nil && verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
}
