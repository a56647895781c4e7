package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/pkg/pixels"
)

// detectFlags are those of the detect command.
type detectFlags struct {
	detectorFlags
	format     *choice
	out        string
	pictures   bool
	megapixels int
	megabytes  int
}

func detectCommand() *cobra.Command { return new(detectFlags).command() }

func (f *detectFlags) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "detect -q QUERY... [flags] IMAGE|DIR|GLOB...",
		Short: "Find the queries in pictures",
		Long: `Finds each query in each picture and writes the boxes.

A query is NAME, which is filled into phrasing templates ("a photo of the large
dog."), or NAME=PHRASE|PHRASE, whose phrases are taken as they are. CLIP's view
of a query is the mean of its phrasings.

A directory stands for the pictures in it, without those of its own directories.
Pictures are JPEG, PNG, WebP, GIF (its first frame) and BMP. One that can't be
read is named on stderr, and in json and jsonl takes an object with "error";
the others are still done, and the exit code is 1.

Results go to stdout, and with --out also to DIR/detections.FORMAT:
  json   for one picture an object {"image", "width", "height", "proposals": N,
         "detections": [{"query", "box", "score", "cosine", "probability",
         "objectness", "phrase", "runner_up"}], "timings_ms"}; for a directory,
         a pattern or several arguments a list of them
  jsonl  an object a line
  coco   COCO's results: image_id is the number in the file's name where all
         names are like COCO's (000000000139.jpg), or else the picture's place
         from 1; category_id is the query's place from 1
  csv    a row for each detection, under a row of names
A box is [x0, y0, x1, y1] in pixels of the upright picture. Scores are in [0, 1],
but for the cosine, which is in [-1, 1].

--pictures draws for each NAME.jpg into --out: NAME.original.png, upright;
NAME.proposals.png, the candidate boxes; NAME.detections.png, what was found.
Where two files share a NAME, the later becomes NAME-2.`,
		Example: `  clipdet detect -q dog photo.jpg
  clipdet detect -q "traffic light" -q "bike=a bicycle|a mountain bike" -o found --pictures photos
  clipdet detect -q dog --format jsonl 'photos/*.jpg' | jq -c .detections[]
  clipdet detect -q dog --models models/vit-b-32 --device cuda:0 --threshold 0.3 --top-k 5 photo.jpg`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no picture: name files, directories or patterns, as in: clipdet detect -q dog photo.jpg")
			}
			return nil
		},
		RunE: f.run,
	}
	cmd.Flags().SortFlags = false
	f.detectorFlags.add(cmd)
	f.format = addChoice(cmd, "format", "of the results", "json", "jsonl", "coco", "csv")
	cmd.Flags().StringVarP(&f.out, "out", "o", "", "also write the results, and the pictures, into `DIR`, made where it is missing")
	_ = cmd.MarkFlagDirname("out") // fails for an unknown flag only
	cmd.Flags().BoolVar(&f.pictures, "pictures", false, "draw three pictures of each into --out")
	cmd.Flags().IntVar(&f.megapixels, "max-megapixels", 100, "refuse pictures of more than `N` million pixels")
	cmd.Flags().IntVar(&f.megabytes, "max-megabytes", 512, "refuse files of pictures of more than `N` times 2^20 bytes")
	return cmd
}

func (f *detectFlags) run(cmd *cobra.Command, args []string) (err error) {
	p, err := f.plan(cmd)
	switch {
	case err != nil:
		return err
	case f.pictures && f.out == "":
		return errors.New("--pictures needs --out DIR to draw into")
	case f.megapixels < 1:
		return fmt.Errorf("--max-megapixels %d: want 1 or more", f.megapixels)
	case f.megabytes < 1:
		return fmt.Errorf("--max-megabytes %d: want 1 or more", f.megabytes)
	}
	if f.out != "" {
		if err := os.MkdirAll(f.out, 0o755); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	ctx := cmd.Context()
	detector, queries, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer detector.Close()
	out, err := openOutput(cmd.OutOrStdout(), f.out, resultFile(f.format.value))
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer func() { err = errors.Join(err, out.close()) }()

	var labels []string
	for _, q := range p.queries {
		labels = append(labels, q.Name)
	}
	results, err := newResultWriter(f.format.value, out, several(args), labels)
	if err != nil {
		return &failure{exitInputs, fmt.Errorf("write the results: %w", err)}
	}
	inputs := expand(args)
	job := job{inputs: inputs, results: results, progress: newProgress(cmd.ErrOrStderr(), len(inputs))}
	if f.pictures {
		job.pictures = newPictures(f.out, labels)
	}
	limits := pixels.Limits{Pixels: int64(f.megapixels) * 1e6, Bytes: int64(f.megabytes) << 20}
	images := job.keep(decodeAhead(ctx, inputs, limits, min(4, runtime.GOMAXPROCS(0))))
	return job.run(ctx, detector.DetectAll(ctx, images, queries, p.params))
}
