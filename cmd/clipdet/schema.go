package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/pkg/results"
)

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of detect's json and jsonl",
		Long: `Prints the JSON Schema (draft 2020-12) of what 'clipdet detect' writes as json: an
object, or a list of them. A line of jsonl is such an object.`,
		Example: `  clipdet schema > clipdet.schema.json
  check-jsonschema --schemafile clipdet.schema.json found/detections.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("schema takes no argument, got %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := io.WriteString(cmd.OutOrStdout(), results.Schema()); err != nil {
				return exit.Inputs(fmt.Errorf("write the schema: %w", err))
			}
			return nil
		},
	}
}
