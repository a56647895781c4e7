package evaluate

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/results"
)

// report measures the records of images and writes the requested outputs.
func (f *outputs) report(cmd *cobra.Command, t *truth, images []eval.Image, made map[string]string, records map[string]results.Record) error {
	n, err := measure(t, images, records, made)
	if err != nil {
		return exit.Inputs(err)
	}
	if n.Images == 0 {
		return exit.Inputs(fmt.Errorf("none of %d pictures could be read; there is nothing to measure", len(images)))
	}
	for _, warning := range n.Warnings {
		console.Say(cmd.ErrOrStderr(), "--annotations %s: %s", f.annotations, warning)
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), n.table()); err != nil {
		return exit.Inputs(err)
	}
	for _, file := range []struct {
		flag, path string
		write      func(io.Writer) error
	}{
		{"--json", f.json, n.write},
		{"--results", f.results, func(w io.Writer) error { return eval.WriteResults(w, n.detections) }},
	} {
		if file.path == "" {
			continue
		}
		if err := files.Write(file.path, file.write); err != nil {
			return exit.Inputs(fmt.Errorf("%s: %w", file.flag, err))
		}
	}
	if f.html != "" {
		if err := f.page(cmd.Context(), n, t); err != nil {
			return exit.Inputs(fmt.Errorf("--html: %w", err))
		}
	}
	if failed := len(n.Failed); failed > 0 {
		return exit.Inputs(fmt.Errorf("%d of %d pictures failed; the numbers are of the others", failed, len(images)))
	}
	return nil
}

func (n *Numbers) write(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", " ")
	return encoder.Encode(n)
}
