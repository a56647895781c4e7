package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/report"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/index"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/results"
)

// searchFlags are the flags of the search command.
type searchFlags struct {
	settings.ScoringFlags
	index     string
	params    index.Params
	threshold float64
	format    *settings.Choice
	html      string
	like      []string
}

func searchCommand() *cobra.Command { return new(searchFlags).command() }

func (f *searchFlags) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "search --index DIR -q QUERY... [flags]",
		Short: "Find the queries in all pictures of an index",
		Long: `Finds the regions of the index that fit each query best, in all pictures at once. It
is exact: every region is compared with every query. No picture is read, but for
--html, which draws on none that has changed since it was indexed. 'clipdet index'
makes the index; the models have to be the same.

A query is what it is for 'clipdet detect', with phrases, weights, negative phrases
and examples, and a hit has the scores that detect gives that box, up to 0.002:
embeddings are kept in half precision. Nothing suppresses boxes that overlap, so a
thing may be hit several times; --per-picture keeps the best of each picture.

--like PICTURE#N asks for more regions like one of the index, which is named as in
hits: by its picture's path and its number. It is another query, with that region as
its example. If no other query is given, hits are ranked by cosine, so that
--threshold 0.95 finds near-duplicates; the region itself comes first.

The filters --path and --min-size apply before the best are chosen, so there are as
many hits as asked for, if so many regions fit.

Hits go to stdout, query by query, the best first:
  json   a list of {"query", "box", "score", "cosine", "probability", "objectness",
         "phrase", "runner_up", "image", "region", "width", "height"}; region is
         the number of the box in its picture, from 1
  jsonl  an object a line
  csv    a row for each hit, as detect's
  coco   a data set in COCO's form, of the pictures that were hit: an image's id is
         the number in the file's name where the names of all hits are like COCO's,
         or else the picture's place among those; a category's is the query's place
         from 1
  coco-results  the list of results that pycocotools' loadRes takes, with the same ids`,
		Example: `  clipdet search --index photos.index -q dog -q "bike=a bicycle|a mountain bike"
  clipdet search --index photos.index -q "mug=@shelf.jpg#40,60,180,200" --per-picture --top-k 20
  clipdet search --index photos.index -q hat --path '2024/*' --min-size 32 --html found
  clipdet search --index photos.index --like photos/shelf.jpg#3 --per-picture --threshold 0.9`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("search takes no picture, got %q: it asks the index", args[0])
			}
			return nil
		},
		RunE: f.run,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.index, "index", "", "`DIR` of the index")
	_ = cmd.MarkFlagDirname("index") // fails only for an unknown flag
	f.AddForSearch(cmd)
	flags.StringArrayVar(&f.like, "like", nil, "find more like the region N of a picture of the index, `PICTURE#N`; give it once for each region")
	flags.IntVar(&f.params.TopK, "top-k", index.DefaultTopK, "at most `N` hits of each query")
	flags.Float64Var(&f.threshold, "threshold", 0, "least `SCORE` of a hit; 0 keeps all")
	flags.BoolVar(&f.params.PerPicture, "per-picture", false, "at most one hit of each picture for a query, the best")
	flags.Float64Var(&f.params.MinSize, "min-size", 0, "only boxes whose shorter side has at least `N` pixels of the picture")
	flags.StringVar(&f.params.Path, "path", "", "only pictures whose path matches `GLOB`, or whose name does if it has no slash")
	f.format = settings.AddChoice(cmd, "format", "of the hits", "json", "jsonl", "csv", "coco", "coco-results")
	flags.StringVar(&f.html, "html", "", "also write a page with the pictures and boxes of the hits, by query, into `DIR`")
	_ = cmd.MarkFlagDirname("html") // fails only for an unknown flag
	return cmd
}

// region is a value of --like.
type region struct {
	picture string
	number  int
}

func parseRegion(text string) (region, error) {
	at := strings.LastIndex(text, "#") // a path may have one too
	if at <= 0 {
		return region{}, fmt.Errorf("--like %s: write PICTURE#N, a picture of the index and the number of its region", text)
	}
	number, err := strconv.Atoi(text[at+1:])
	if err != nil || number < 1 {
		return region{}, fmt.Errorf("--like %s: %q is no number of a region, which are 1 and more", text, text[at+1:])
	}
	return region{text[:at], number}, nil
}

func (f *searchFlags) run(cmd *cobra.Command, _ []string) error {
	switch {
	case f.index == "":
		return errors.New("--index is missing: name the directory that 'clipdet index' made")
	case f.params.TopK < 1:
		return fmt.Errorf("--top-k %d: want 1 or more", f.params.TopK)
	case !(f.params.MinSize >= 0):
		return fmt.Errorf("--min-size %v: want 0 or more", f.params.MinSize)
	case !(f.threshold >= -1 && f.threshold <= 1):
		return fmt.Errorf("--threshold %v: want -1 to 1", f.threshold)
	}
	if _, err := path.Match(f.params.Path, ""); err != nil {
		return fmt.Errorf("--path %q: %w", f.params.Path, err)
	}
	regions := make([]region, len(f.like))
	for i, text := range f.like {
		var err error
		if regions[i], err = parseRegion(text); err != nil {
			return err
		}
		f.Made = append(f.Made, detect.Query{Name: text, Examples: []detect.Example{{}}}) // of the index, below
	}
	alone := len(f.Queries) == 0 && !cmd.Flags().Changed("queries")
	p, err := f.Plan(cmd)
	if err != nil {
		return err
	}
	f.params.Rank, f.params.Scores, f.params.Threshold = p.Params.Rank, p.Params.Scores, float32(f.threshold)
	if alone && !cmd.Flags().Changed("rank") {
		f.params.Rank = detect.RankCosine
	}
	ix, err := index.Open(f.index, index.OpenOptions{})
	if err != nil {
		return notIndexed(err)
	}
	for i, r := range regions {
		example, err := ix.Example(r.picture, r.number)
		if err != nil {
			return notIndexed(err)
		}
		p.Queries[len(p.Queries)-len(regions)+i].Examples[0] = example
	}
	p.Options.Crops = ix.Crops()
	p.Options.OnDemand = true // words need the text tower alone
	ctx := cmd.Context()
	info, err := detect.Resolve(ctx, p.Options)
	if err != nil {
		return exit.NotOpened(ctx, err)
	}
	if err := ix.Check(info); err != nil {
		return err
	}
	detector, queries, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer detector.Close()
	hits, err := ix.Search(ctx, detector, queries, f.params)
	if err != nil {
		return notIndexed(err)
	}
	if err := writeHits(cmd.OutOrStdout(), f.format.Value, queries.Names(), hits); err != nil {
		return exit.Inputs(fmt.Errorf("write the hits: %w", err))
	}
	if f.html != "" {
		of := make(map[string]index.Hit)
		for _, hit := range slices.Concat(hits...) {
			of[hit.Picture] = hit
		}
		load := func(file string) (image.Image, error) {
			picture, err := asIndexed(ctx, of[file], ix.AsStored())
			if err != nil {
				console.Say(cmd.ErrOrStderr(), "--html: %s", console.Naming(file, err))
			}
			return picture, err
		}
		unread, err := report.WriteHits(ctx, f.html, shown(queries.Names(), hits), load, report.Options{})
		if err == nil && unread > 0 {
			err = fmt.Errorf("--html: of %d pictures only the boxes are shown", unread)
		}
		if err != nil {
			return exit.Inputs(err)
		}
	}
	return nil
}

// asIndexed returns the picture of a hit. It fails if the picture isn't what was indexed,
// because the boxes would be in other places there.
func asIndexed(ctx context.Context, hit index.Hit, asStored bool) (image.Image, error) {
	now, err := index.Picture{Path: hit.Picture}.Read()
	if err != nil {
		return nil, err
	}
	if now.SHA256 != hit.SHA256 {
		return nil, errors.New("it has changed since it was indexed; run 'clipdet index' again")
	}
	picture, err := intake.Decode(ctx, intake.Input{Path: hit.Picture}, pixels.Limits{AsStored: asStored})
	if err != nil {
		return nil, err
	}
	// Indexes once didn't say that they were made with --ignore-exif.
	if size := picture.Bounds().Size(); size != image.Pt(hit.Width, hit.Height) {
		return nil, fmt.Errorf("it is %d x %d pixels, and was indexed as %d x %d; index the pictures again, into another directory",
			size.X, size.Y, hit.Width, hit.Height)
	}
	return picture, nil
}

// writeHits writes the hits of each query.
func writeHits(to io.Writer, format string, names []string, hits [][]index.Hit) error {
	var inputs []intake.Input // of the pictures that were hit
	place := make(map[string]int)
	for _, list := range hits {
		for _, hit := range list {
			if _, known := place[hit.Picture]; !known {
				place[hit.Picture] = len(inputs)
				inputs = append(inputs, intake.Input{Path: hit.Picture})
			}
		}
	}
	ids := intake.ImageIDs(inputs)
	var records results.Writer
	var err error
	switch format {
	case "csv":
		records, err = results.NewCSVWriter(to)
	case "coco":
		records, err = results.NewCOCOWriter(to, names, nil)
	case "coco-results":
		records, err = results.NewCOCOResultsWriter(to, names, nil)
	}
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	lead := "["
	for _, list := range hits {
		for _, hit := range list {
			if records != nil {
				err = records.Write(results.Record{
					Image: hit.Picture, ID: ids[place[hit.Picture]], Width: hit.Width, Height: hit.Height,
					Detections: []detect.Detection{hit.Detection},
				})
			} else {
				if format == "json" {
					_, err = io.WriteString(to, lead)
					lead = ","
				}
				if err == nil {
					err = encoder.Encode(hit)
				}
			}
			if err != nil {
				return err
			}
		}
	}
	switch {
	case records != nil:
		return records.Close()
	case format == "json" && lead == "[":
		_, err = io.WriteString(to, "[]\n")
	case format == "json":
		_, err = io.WriteString(to, "]\n")
	}
	return err
}

// shown returns the hits for the page.
func shown(names []string, hits [][]index.Hit) []report.QueryHits {
	var all []report.QueryHits
	for q, list := range hits {
		of := report.QueryHits{Query: names[q]}
		for _, hit := range list {
			of.Hits = append(of.Hits, report.Hit{
				File: hit.Picture, Width: hit.Width, Height: hit.Height, Box: hit.Box,
				Score: hit.Score, Probability: hit.Probability, Objectness: hit.Objectness, Phrase: hit.Phrase,
			})
		}
		all = append(all, of)
	}
	return all
}
