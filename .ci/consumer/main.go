// Command consumer is a program that uses clipdet from a module of its own. It finds in
// the picture of its first argument the names of the other arguments, and fails if one
// isn't found.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/pixels"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, path string, names []string) error {
	picture, err := pixels.DecodeFile(path, pixels.Limits{})
	if err != nil {
		return err
	}
	detector, err := detect.Open(ctx, detect.Options{Models: builtin.Models(), Device: "cpu"})
	if err != nil {
		return err
	}
	defer detector.Close()

	var wanted []detect.Query
	for _, name := range names {
		wanted = append(wanted, detect.Query{Name: name})
	}
	queries, err := detector.Queries(ctx, wanted...)
	if err != nil {
		return err
	}
	defer queries.Close()
	result, err := detector.Detect(ctx, picture, queries, detect.Params{TopK: 1})
	if err != nil {
		return err
	}

	found := make(map[string]bool)
	for _, detection := range result.Detections {
		found[detection.Query] = true
		fmt.Println(detection.Query, detection.Box, detection.Score)
	}
	for _, name := range names {
		if !found[name] {
			return fmt.Errorf("%s: no %q among %d detections", path, name, len(result.Detections))
		}
	}
	return nil
}
