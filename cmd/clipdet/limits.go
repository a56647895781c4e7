package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// limitFlags bound what one run takes on.
type limitFlags struct {
	queries    int
	detections int
}

func (f *limitFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.queries, "max-queries", 10_000, "refuse more than `N` queries")
	flags.IntVar(&f.detections, "max-detections", detect.DefaultMaxDetections, "fail a picture with more than `N` detections")
}

func (f *limitFlags) check() error {
	switch {
	case f.queries < 1:
		return fmt.Errorf("--max-queries %d: want 1 or more", f.queries)
	case f.detections < 1:
		return fmt.Errorf("--max-detections %d: want 1 or more", f.detections)
	}
	return nil
}

func (f *limitFlags) text() prompt.Limits { return prompt.Limits{Queries: f.queries} }
