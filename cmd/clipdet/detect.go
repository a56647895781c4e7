package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/evaluate"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/fonts"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/outcome"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/overlay"
)

// detectFlags are the flags of the detect command.
type detectFlags struct {
	settings.DetectorFlags
	format       *settings.Choice
	out          string
	pictures     bool
	font         string
	crops        bool
	pictureFlags settings.PictureFlags
	ids          string
	calibration  string
	resume       bool
	shard        string
	overwrite    bool
	intake       intake.Flags
	frames       *settings.Choice
}

func detectCommand() *cobra.Command { return new(detectFlags).command() }

func (f *detectFlags) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "detect -q QUERY... [flags] IMAGE|DIR|GLOB|URL|-...",
		Short: "Find the queries in pictures",
		Long: `Finds each query in each picture and writes the boxes.

A query is NAME, which is filled into phrasing templates ("a photo of the large
dog."), or NAME=PART|PART, whose parts are taken as they are. CLIP's view of a
query is the mean of its phrasings and examples. A part is
  a mug                 a phrase; "a mug::2" has twice the weight of others
  @mug.png              an example, the picture in a file, or a box of it in pixels:
                        @mug.png#10,20,90,99 (left, top, right, bottom edge)
  -a glass              what it is not: where that fits a box better, the query's
                        probability there falls
  \-5 degrees           a phrase that begins with -; likewise \@ and \\
An _ in a name or phrase is a space to CLIP. --queries FILE has many queries: one a
line, a JSON list, or the categories of a data set in COCO's form.
Pictures are far nearer to each other than to words, so show all queries or none,
or rank by cosine.

A directory stands for the pictures in it, and with --recursive also for the
pictures in its own directories, but for links to others. What it holds and isn't read
is counted on stderr, by kind, except for hidden files.
In a quoted pattern ** stands for any number of directories. - is a picture on
stdin, and --files-from FILE a list, of stdin for -. An http or https URL is
fetched within 60 seconds and 5 redirects, and from a public address alone, unless
--allow-private is given. --frames all takes each frame of a GIF or WebP as a picture,
FILE#frame=N. --fps N takes N frames of each second of a video, FILE.mp4#ms=TIME,
with the ffmpeg and ffprobe on PATH. A picture that is given twice is done twice.
Pictures are JPEG, PNG, WebP and GIF (the first frame), BMP and TIFF (the first page).
They are turned upright as their EXIF or XMP says, but for --ignore-exif. Others, such
as HEIC and AVIF, are refused with a command that converts them. One that can't be
read is named on stderr, and in json and jsonl takes an object with "error";
the others are still done, and the exit code is 1.

Results go to stdout, and with --out also to DIR/detections.FORMAT, which must not
be there yet unless --overwrite is given, which replaces files of the same names and
leaves others, such as the crops of an earlier run:
  json   for one picture an object {"image", "width", "height", "proposals": N,
         "detections": [{"query", "box", "score", "cosine", "probability",
         "objectness", "phrase", "runner_up"}], "timings_ms", "presence":
         [{"query", "present", "score", "threshold"}]}; for a directory, a pattern
         or several arguments a list of them
  jsonl  an object a line
  coco   a data set in COCO's form: images, each with its path as file_name,
         categories and annotations, each with a score. An image's id is the
         number in the file's name where all names are like COCO's
         (000000000139.jpg), or else the picture's place from 1; a category's is
         the query's place from 1. --ids FILE takes both, and the file_name, from
         a data set; each picture and query must have one there
  coco-results  the list of results that pycocotools' loadRes takes, with the
         same ids
  csv    a row for each detection, under a row of names
  yolo   no stdout, but files in --out: DIR/classes.txt, a query a line, and for
         each picture a line for each detection: class cx cy width height score,
         in shares of the picture's width and height. images/train/NAME.jpg has
         DIR/labels/train/NAME.txt; without a folder named images, labels mirrors
         the folders below the directory, or the one that holds all arguments
'clipdet schema' prints the JSON Schema of json and jsonl.

The proposals' network sees a picture at a size of its own, and misses what is small
in a large one. --tile N also does the picture in overlapping tiles and merges what is
found, for the time of as many pictures; --tile auto does so only with pictures that
are more than 2.5 times as large as the network sees them, and says so on stderr.

A box is [x0, y0, x1, y1] in pixels of the upright picture (with --ignore-exif, of the
stored one). Scores are in [0, 1],
but for the cosine, which is in [-1, 1]:
  cosine       of the box's and the query's embedding; of several views of a box
               (--crop-context 1,1.5) the mean is taken
  probability  softmax of the cosines, at CLIP's scale, over the queries, the
               background's phrasings and the query's own negative ones
  score        by --rank: fused, sqrt(probability x objectness), or mean,
               (probability + objectness) / 2, or one of the above alone
Two names that mean nearly the same to the models, such as "sofa" and "couch",
would share one probability, so that neither is found. They are named on stderr
and not measured against each other (--alike). --scores each measures each name
against the background alone, for names that don't exclude each other, such as
"person" and "runner"; more is found then, and more of it wrongly.

--resume is for long runs: each line of jsonl is added to DIR/detections.jsonl at
once, and the same command continues after a kill, a crash or a failed picture. It
writes the new lines alone to stdout. A command that would find something else is
refused. A picture is known by its path: remove the line of one that has changed.

--shard 2/8 does a part of the pictures, as one of 8 processes on any machines. They
may have one --out: DIR/shard-00002.jsonl is there when it is whole, or not at all, and
a shard that is there is not done again. All must be given the same pictures, in the
same order, and would be refused with other models, queries or choices.

Thresholds of single queries come from "clipdet calibrate", with --calibration.

--pictures draws for each NAME.jpg into --out: NAME.original.png, upright;
NAME.proposals.png, the candidate boxes; NAME.detections.png, what was found.
Their font has Latin, Greek and Cyrillic letters. Others are drawn with a font of the
system, or with --font FILE; stderr says what can't be drawn.
A frame is NAME-frameN or NAME-msTIME. Where two files share a NAME, the later becomes
NAME-2, in yolo only if they are in one folder. --crops writes crops/QUERY/NAME.N.png,
the pixels of the picture's Nth detection.`,
		Example: `  clipdet detect -q dog photo.jpg
  clipdet detect -q "traffic light" -q "bike=a bicycle|a mountain bike" -o found --pictures photos
  clipdet detect -q dog --format jsonl 'photos/*.jpg' | jq -c .detections[]
  clipdet detect -q "orange=an orange|-the colour orange" photos
  find photos -name '*.jpg' -print0 | clipdet detect -q dog --files-from -
  clipdet detect --queries names.txt --recursive --format jsonl --resume -o found photos
  clipdet detect -q "mug=@mug.png|@shelf.jpg#40,60,180,200" photos
  clipdet detect --queries names.txt --files-from list.txt --format jsonl --shard env/64 -o found
  clipdet detect --queries instances.json --format coco --ids instances.json val2017 > found.json
  clipdet detect -q dog --tile auto panorama.jpg
  clipdet detect -q dog --models models/vit-b-32 --device cuda:0 --threshold 0.3 --top-k 5 photo.jpg`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && f.intake.FilesFrom == "" {
				return errors.New("no picture: name files, directories or patterns, as in: clipdet detect -q dog photo.jpg")
			}
			return nil
		},
		RunE: f.run,
	}
	cmd.Flags().SortFlags = false
	f.DetectorFlags.Add(cmd)
	cmd.Flags().StringVar(&f.calibration, "calibration", "", "take each query's threshold from `FILE`, which calibrate wrote, in place of --threshold")
	_ = cmd.MarkFlagFilename("calibration", "json") // fails only for an unknown flag
	f.intake.Add(cmd.Flags())
	cmd.Flags().Float64Var(&f.intake.FPS, "fps", 0, "read videos too, with the ffmpeg on PATH, and take `N` frames of each second; 0 reads none")
	f.frames = settings.AddChoice(cmd, "frames", "of a GIF or WebP that moves", intake.FirstFrame, intake.AllFrames)
	f.format = settings.AddChoice(cmd, "format", "of the results", outcome.Formats...)
	cmd.Flags().StringVar(&f.ids, "ids", "", "with --format coco or coco-results, take the ids of images, by file name, and of categories, by name, from the data set in `FILE`")
	_ = cmd.MarkFlagFilename("ids", "json") // fails only for an unknown flag
	cmd.Flags().StringVarP(&f.out, "out", "o", "", "also write the results, and the pictures, into `DIR`, made where it is missing")
	_ = cmd.MarkFlagDirname("out") // fails only for an unknown flag
	cmd.Flags().BoolVar(&f.overwrite, "overwrite", false, "replace results that are in --out already")
	cmd.Flags().BoolVar(&f.resume, "resume", false, "with --format jsonl and --out, add each picture's line to DIR/detections.jsonl at once, and continue after the lines that are there")
	cmd.Flags().StringVar(&f.shard, "shard", "", "with --format jsonl and --out, do only each Nth picture, from the Ith on, `I/N`, into DIR/shard-NNNNN.jsonl; env/N takes I from Kubernetes or Slurm, and env takes both from Slurm")
	cmd.Flags().BoolVar(&f.pictures, "pictures", false, "draw three pictures of each into --out")
	cmd.Flags().StringVar(&f.font, "font", "", "with --pictures, draw letters other than Latin, Greek and Cyrillic with the font in `FILE`, .ttf, .otf or .ttc (default: what the system has)")
	_ = cmd.MarkFlagFilename("font", "ttf", "otf", "ttc") // fails only for an unknown flag
	cmd.Flags().BoolVar(&f.crops, "crops", false, "write what was found into --out, as crops/QUERY/NAME.N.png")
	f.pictureFlags.Add(cmd.Flags())
	return cmd
}

func (f *detectFlags) run(cmd *cobra.Command, args []string) (err error) {
	p, err := f.Plan(cmd)
	switch {
	case err != nil:
		return err
	case f.pictures && f.out == "":
		return errors.New("--pictures needs --out DIR to draw into")
	case f.font != "" && !f.pictures:
		return errors.New("--font is for --pictures, which draw names")
	case f.crops && f.out == "":
		return errors.New("--crops needs --out DIR to write into")
	case f.format.Value == "yolo" && f.out == "":
		return errors.New("--format yolo needs --out DIR to write the labels into")
	case f.ids != "" && !strings.HasPrefix(f.format.Value, "coco"):
		return errors.New("--ids needs --format coco or coco-results, as the others have no ids")
	case f.resume && (f.format.Value != "jsonl" || f.out == ""):
		return errors.New("--resume needs --format jsonl and --out DIR, to continue from what is there")
	case f.resume && f.overwrite:
		return errors.New("--resume keeps what is there, and --overwrite replaces it: leave one of them out")
	case f.shard != "" && (f.format.Value != "jsonl" || f.out == ""):
		return errors.New("--shard needs --format jsonl and --out DIR, where all shards are")
	case f.shard != "" && (f.resume || f.overwrite):
		return errors.New("--shard does what is missing in --out: leave --resume and --overwrite out, and remove a shard's file to do it again")
	case f.pictureFlags.Check() != nil:
		return f.pictureFlags.Check()
	case f.calibration != "" && cmd.Flags().Changed("threshold"):
		return errors.New("--threshold: --calibration has one for each query; leave one of the flags out")
	}
	if f.calibration != "" {
		if p.Calibration, err = settings.ReadCalibration(f.calibration); err != nil {
			return err
		}
	}
	i, n := 1, 1
	if f.shard != "" {
		if i, n, err = settings.ReadShard(f.shard, os.LookupEnv); err != nil {
			return err
		}
	}
	var labels []string
	for _, q := range p.Queries {
		labels = append(labels, q.Name)
	}
	drawn, err := f.fonts(cmd, labels)
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := files.Writable(f.out); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	if f.out != "" && !f.overwrite && !f.resume && f.shard == "" {
		if err := outcome.Free(f.format.Value, f.out); err != nil {
			return err
		}
	}
	if !(f.intake.FPS >= 0 && f.intake.FPS <= 1000) {
		return fmt.Errorf("--fps %v: want frames a second, up to 1000, or 0 to read no videos", f.intake.FPS)
	}
	f.intake.Frames, f.intake.Limits = f.frames.Value, f.pictureFlags.Limits()
	found, err := f.intake.Expand(args, cmd.InOrStdin())
	if err != nil {
		return err
	}
	inputs := found.Inputs
	for _, note := range found.Notes {
		console.Say(cmd.ErrOrStderr(), "%s", note)
	}
	if f.pictures || f.crops {
		if err := outcome.NotDrawnOver(inputs, f.out); err != nil {
			return err
		}
	}
	if f.resume {
		for _, in := range inputs {
			if !utf8.ValidString(in.Path) {
				return fmt.Errorf("--resume: %s: its name isn't UTF-8, so JSON can't tell it from others and its line isn't found again; rename it", console.QuotedPath(in.Path))
			}
		}
	}
	images, categories, err := f.idsOf(inputs, labels)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	detector, queries, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer detector.Close()
	job := outcome.Job{Inputs: inputs, Images: images, Together: f.resume || f.shard != ""}
	var w *outcome.Writer
	switch {
	case f.shard != "":
		made, err := f.madeWith(&p, detector)
		if err != nil {
			return err
		}
		made["shards or pictures"] = fmt.Sprintf("%d shards of %d pictures, sha256 %x", n, len(inputs), listed(inputs))
		if w, err = outcome.OpenShard(cmd.OutOrStdout(), f.out, i, made); err != nil {
			return err
		}
		if w == nil {
			failed, err := outcome.FailedOf(f.out, i)
			if err != nil {
				return exit.Inputs(fmt.Errorf("--shard: %w; remove it to do it again", err))
			}
			console.Say(cmd.ErrOrStderr(), "shard %d of %d is done already, with %d pictures that failed", i, n, failed)
			return nil
		}
		job.Inputs, job.Names = outcome.ShardOf(inputs, i, n)
	case f.resume:
		made, err := f.madeWith(&p, detector)
		if err != nil {
			return err
		}
		var done outcome.Done
		if w, done, err = outcome.Resume(cmd.OutOrStdout(), f.out, made); err != nil {
			return err
		}
		if job.Inputs, job.Names = done.Left(inputs); len(job.Inputs) < len(inputs) {
			console.Say(cmd.ErrOrStderr(), "%d of %d pictures are done already", len(inputs)-len(job.Inputs), len(inputs))
		}
	default:
		if w, err = outcome.Open(f.format.Value, cmd.OutOrStdout(), f.out, found, f.overwrite, labels, categories); errors.Is(err, fs.ErrExist) {
			return err
		} else if err != nil {
			return exit.Inputs(fmt.Errorf("write the results: %w", err))
		}
	}
	defer func() { err = errors.Join(err, w.End()) }()
	job.Partial = w.Discard

	budget := p.Budget(f.pictureFlags.Memory)
	decoding, decoded := budget.Keep(ctx, intake.DecodeAhead(ctx, job.Inputs, f.pictureFlags.Limits(), intake.Decoders()), len(job.Inputs))
	job.Results, job.Budget, job.Decoded = w, budget, decoded
	job.Progress = console.NewProgress(cmd.ErrOrStderr(), "detecting", len(job.Inputs))
	switch {
	case f.crops:
		job.Pictures = outcome.NewCrops(f.out, labels, f.pictures, drawn...)
	case f.pictures:
		job.Pictures = outcome.NewPictures(f.out, labels, drawn...)
	}
	return job.Run(ctx, detector.DetectAll(ctx, decoding, queries, p.Params))
}

// fonts returns the fonts for labels, if they are drawn, and says on stderr which letters
// none of them has.
func (f *detectFlags) fonts(cmd *cobra.Command, labels []string) ([]*overlay.Font, error) {
	if !f.pictures {
		return nil, nil
	}
	found, undrawn, err := fonts.Of(labels, f.font)
	why := "no font of this system has them; --font FILE takes one that has"
	if f.font != "" {
		why = f.font + " doesn't have them"
	}
	for _, label := range slices.Sorted(maps.Keys(undrawn)) {
		console.Say(cmd.ErrOrStderr(), "%q: pictures have boxes in place of %s: %s", label, undrawn[label], why)
	}
	return found, err
}

// idsOf returns what --ids has of the inputs and queries, or nil without it.
func (f *detectFlags) idsOf(inputs []intake.Input, queries []string) ([]eval.Image, []eval.Category, error) {
	if f.ids == "" {
		return nil, nil, nil
	}
	ids, err := evaluate.ReadIDs(f.ids)
	if err != nil {
		return nil, nil, err
	}
	categories, err := ids.Categories(queries)
	if err != nil {
		return nil, nil, err
	}
	images, err := ids.Of(inputs)
	return images, categories, err
}

// listed returns a hash of the inputs' paths in their order.
func listed(inputs []intake.Input) []byte {
	sum := sha256.New()
	for _, in := range inputs {
		fmt.Fprintf(sum, "%q\n", in.Path)
	}
	return sum.Sum(nil)
}

// madeWith returns everything that the results of a picture depend on, by name.
func (f *detectFlags) madeWith(p *settings.Plan, detector *detect.Detector) (map[string]any, error) {
	scoring, err := p.Scoring(detector.Info())
	if err != nil {
		return nil, err
	}
	return map[string]any{"models, queries or scoring": scoring, "choice of boxes": p.Params, "drawings": map[string]bool{"--pictures": f.pictures, "--crops": f.crops}}, nil
}
