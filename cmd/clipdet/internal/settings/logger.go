package settings

import (
	"log/slog"

	"github.com/spf13/cobra"
)

// logger logs warnings to the command's stderr, and with --verbose all.
func logger(cmd *cobra.Command) *slog.Logger {
	level := slog.LevelWarn
	if verbose, err := cmd.Flags().GetBool("verbose"); err == nil && verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
}
