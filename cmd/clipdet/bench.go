package main

import (
	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/bench"
)

func benchCommand() *cobra.Command {
	var f bench.Flags
	cmd := &cobra.Command{
		Use:   "bench [flags] [IMAGE|DIR|GLOB...]",
		Short: "Measure how fast detection is here, and where the time goes",
		Long: `Measures detection on this machine, with the flags of detect, and writes a table.

Rounds: all pictures go the way of "clipdet detect --pictures" from files to
results, where reading, detection and drawing overlap: images/s, and crops/s (the
proposals). Nothing of the warm-up counts.

Stages: then the pictures go one at a time, and each stage is timed alone; the
device is waited for at its end. decode: file to pixels; upload: pixels to the
device; rpn: proposals, which a GPU keeps; crop: boxes cut out and resized; encode: CLIP
of the crops; rank: scores, top-k and NMS; download: scores to the host; draw: three
pictures, to files; other: what no stage has. text is CLIP of the phrases, encoded
anew in each round, though detect does it once for all pictures.

Of the device each picture takes operations, uploads and downloads; a download waits
for the device. On a CPU the copies are those that a GPU would need.

Operations: what the models' manifests say that a forward costs in convolutions,
matrix products and attention, two for a multiply-add, by the time that it takes.
Padding, of pictures or phrases, is no work. The peak is the best product of two
large matrices that libtorch does here, in the same type of numbers, on the same
device and threads, tried between the other parts. A GPU convolves float32 as TF32,
and may then pass that peak.

Memory: the process' largest, and how much it grew from the end of the warm-up to
the end of the rounds; on a GPU what was taken of it since the start, by others too.

Figures are of the device in the first line alone: one that was measured on a CPU
says nothing of GPUs. Without pictures, seeded ones are made; without queries,
eighty names are asked for. The three drawn pictures of each go to the temporary
directory, and are removed at the end.`,
		Example: `  clipdet bench
  clipdet bench --models models --rounds 5 --json bench.json --plot bench.svg photos
  clipdet bench --device cuda:0 --dtype bfloat16 --batch-sizes 1,16,64,256,1024`,
		RunE: f.Run,
	}
	f.Add(cmd)
	return cmd
}
