package settings

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/prompt"
	"github.com/clipdet/clipdet/pkg/query"
)

// ScoringFlags are the flags that scores depend on: what to look for, with which models,
// and how boxes and queries are compared. They include the flags for speed and memory
// that go with them.
type ScoringFlags struct {
	ModelFlags
	Queries       []string
	Made          []detect.Query // of other flags of the command
	queriesFile   string
	Templates     string
	Background    string
	subtractEmpty bool
	crop          *Choice
	contexts      []float64
	proposals     int
	threads       int
	batch         int
	together      int
	autotune      bool
	textCache     string
	textMemory    int // phrases
	rank          *Choice
	scores        *Choice
	alike         float64
	Limits        limitFlags
}

// maxTogether bounds the pictures that wait for a batch.
const maxTogether = 64

// maxThreads is the largest value of detect.Options.Threads.
const maxThreads = 1024

// DefaultTextCache returns the directory of cached phrase embeddings, which is beside the
// cache of models. It returns "" if there is no cache directory.
func DefaultTextCache() string {
	models, err := model.CacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(models), "text")
}

// Add defines the flags on cmd.
func (f *ScoringFlags) Add(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.addQueries(cmd)
	f.ModelFlags.Add(cmd)
	f.addThreads(flags)
	f.addBatches(flags)
	f.addTextCache(cmd)
	f.Limits.add(flags)
	flags.IntVar(&f.proposals, "proposals", detect.DefaultProposals, "at most `N` candidate boxes of a picture")
	f.addCrops(cmd)
	f.addRank(cmd)
}

// AddForIndex defines the flags of encoding alone: without queries. PlanIndex makes their
// plan.
func (f *ScoringFlags) AddForIndex(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.proposals, "max-regions", 100, "at most `N` regions of a picture: its candidate boxes of the greatest objectness, after the proposal network's NMS")
	f.ModelFlags.Add(cmd)
	f.addThreads(flags)
	f.addBatches(flags)
	f.addCrops(cmd)
}

// AddForSearch defines the flags of queries alone: without pictures. Plan makes their plan,
// whose crops the caller replaces by the index's.
func (f *ScoringFlags) AddForSearch(cmd *cobra.Command) {
	f.addQueries(cmd)
	f.ModelFlags.Add(cmd)
	f.addThreads(cmd.Flags())
	f.addTextCache(cmd)
	f.Limits.addQueries(cmd.Flags())
	f.addRank(cmd)
	f.proposals, f.batch, f.Limits.Detections = detect.DefaultProposals, detect.DefaultBatch, 1
	f.crop, f.contexts = &Choice{Value: string(detect.CropAuto)}, []float64{1}
}

// AddForService defines the flags of a detector whose queries and parameters come with each
// request. PlanService makes their plan.
func (f *ScoringFlags) AddForService(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.ModelFlags.Add(cmd)
	f.addThreads(flags)
	f.addBatches(flags)
	flags.IntVar(&f.textMemory, "text-memory", 10_000, "keep the embeddings of the `N` phrases that were used last in memory, some 2 KB each")
	f.addPhrasings(flags)
	flags.IntVar(&f.proposals, "proposals", detect.DefaultProposals, "at most `N` candidate boxes of a picture")
	f.addCrops(cmd)
	f.addAlike(flags)
}

func (f *ScoringFlags) addQueries(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.Queries, "query", "q", nil, "what to find: `NAME`, or NAME=PHRASE|PHRASE|-PHRASE|@FILE; give it once for each thing")
	complete(cmd, "query")
	flags.StringVar(&f.queriesFile, "queries", "", "also find what `FILE` names: a query a line, # for comments, or JSON, a list of names or COCO's categories")
	f.addPhrasings(flags)
}

func (f *ScoringFlags) addPhrasings(flags *pflag.FlagSet) {
	flags.StringVar(&f.Templates, "templates", "default", "phrasings of names: none (the bare name), default (seven of CLIP's), many (80), or a `FILE`, one a line with {} for the name, # for comments")
	flags.StringVar(&f.Background, "background", "default", "phrasings of what is of no interest: none, default, or a `FILE`, one a line, # for comments")
	flags.BoolVar(&f.subtractEmpty, "subtract-empty", false, "take from each query what templates without a name have in common; scores fall")
}

func (f *ScoringFlags) addThreads(flags *pflag.FlagSet) {
	flags.IntVar(&f.threads, "threads", 0, "CPU threads of one operation, `N`; 0 is OMP_NUM_THREADS, or else one for each processor, and fewer are faster where others use them")
}

func (f *ScoringFlags) addBatches(flags *pflag.FlagSet) {
	flags.IntVar(&f.batch, "batch", detect.DefaultBatch, "encode `N` crops or phrases at once, which bounds a GPU's memory, and fewer where it doesn't suffice; a CPU takes 16 crops, or as many as the model says, or 8 phrases")
	flags.Bool("tf32", true, "let a GPU compute convolutions of float32 with 10 bits of each factor, as NVIDIA's libraries do by default; false is exact and slower")
	flags.BoolVar(&f.autotune, "autotune", false, "let cuDNN time its convolutions for each new size of pictures, which pays for many pictures of one size")
	flags.IntVar(&f.together, "batch-pictures", 0, "take at most `N` of the pictures that wait through the models together; 0 is 4")
}

func (f *ScoringFlags) addTextCache(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.textCache, "text-cache", DefaultTextCache(), "keep the queries' embeddings in `DIR` for later runs; \"\" keeps none")
	_ = cmd.MarkFlagDirname("text-cache") // fails only for an unknown flag
}

func (f *ScoringFlags) addCrops(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.crop = AddChoice(cmd, "crop", "how a box becomes CLIP's square, as the CLIP was trained, by its centre, its whole in another shape, or its whole with a margin",
		string(detect.CropAuto), string(detect.CropCLIP), string(detect.CropSquash), string(detect.CropPad))
	flags.Float64SliceVar(&f.contexts, "crop-context", []float64{1}, "scale each box by `FACTOR,...` about its centre before cutting it out; the views of several are averaged")
	flags.Lookup("crop-context").DefValue = "1" // the help would show [1.000000]
}

func (f *ScoringFlags) addRank(cmd *cobra.Command) {
	var ranks []string
	for _, rank := range []detect.Rank{detect.RankFused, detect.RankMean, detect.RankProbability, detect.RankCosine} {
		ranks = append(ranks, string(rank))
	}
	f.scores = AddChoice(cmd, "scores", "whether a query's probability is its share among all queries and the background, or each query's against the background alone, for names that don't exclude each other",
		string(detect.ScoresTogether), string(detect.ScoresEach))
	f.addAlike(cmd.Flags())
	f.rank = AddChoice(cmd, "rank", "what the score is, the geometric or arithmetic mean of probability and objectness, or one alone", ranks...)
}

func (f *ScoringFlags) addAlike(flags *pflag.FlagSet) {
	flags.Float64Var(&f.alike, "alike", detect.DefaultAlike, "don't measure two queries against each other whose embeddings, less the background's mean, have a greater cosine than `COSINE`; 1 measures all")
}

// Plan checks the flags and returns their plan. Its errors mean wrong usage.
func (f *ScoringFlags) Plan(cmd *cobra.Command) (Plan, error) {
	switch {
	case len(f.Queries) == 0 && f.queriesFile == "" && len(f.Made) == 0:
		return Plan{}, errors.New("nothing to find: name it with --query, as in: clipdet detect -q dog photo.jpg, or with --queries FILE")
	case f.Limits.check() != nil:
		return Plan{}, f.Limits.check()
	}
	options, err := f.phrasing(cmd)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{autotune: f.autotune, Options: options, Params: detect.Params{Rank: detect.Rank(f.rank.Value), Scores: detect.Scores(f.scores.Value)}}
	p.stderr = cmd.ErrOrStderr()
	p.Options.Progress = console.PhraseProgress(cmd.ErrOrStderr())
	p.Options.Limits = f.Limits.text()
	if p.Params.Scores == detect.ScoresEach && len(p.Options.Background) == 0 {
		return p, errors.New("--scores each measures against the background: leave --background none out")
	}
	typed, err := parseQueries(f.Queries, f.queriesFile, f.Limits.queries)
	if err != nil {
		return p, err
	}
	if p.Queries, err = withExamples(typed, len(f.Queries), f.queriesFile); err != nil {
		return p, err
	}
	p.Queries = append(p.Queries, f.Made...)
	p.doubtNames(typed)
	p.Read = f.read(typed)
	if err := p.Options.Check(p.Queries...); err != nil {
		return p, fmt.Errorf("--query: %w", err)
	}
	return p, nil
}

// read returns the files that the flags and the queries name.
func (f *ScoringFlags) read(queries []query.Query) []files.Named {
	read := []files.Named{
		files.GivenBy("--queries", f.queriesFile), files.GivenBy("--templates", f.Templates), files.GivenBy("--background", f.Background),
		files.GivenBy("--models", f.models), files.GivenBy("--lock", f.lock),
	}
	read = append(read, f.archives()...)
	for _, q := range queries {
		for _, path := range q.Files {
			read = append(read, files.GivenBy("the picture of the query "+strconv.Quote(q.Name), path))
		}
	}
	return read
}

// PlanService checks the flags of AddForService and returns their plan, which has no
// queries. Its errors mean wrong usage.
func (f *ScoringFlags) PlanService(cmd *cobra.Command) (Plan, error) {
	if f.textMemory < 0 {
		return Plan{}, fmt.Errorf("--text-memory %d: want a number of phrases, or 0 for none", f.textMemory)
	}
	options, err := f.phrasing(cmd)
	if err != nil {
		return Plan{}, err
	}
	options.TextMemory = f.textMemory
	return Plan{autotune: f.autotune, Options: options}, options.Check(detect.Query{Name: "any"})
}

// phrasing is encoding with the options of embedding queries.
func (f *ScoringFlags) phrasing(cmd *cobra.Command) (detect.Options, error) {
	if !(f.alike > 0 && f.alike <= 1) {
		return detect.Options{}, fmt.Errorf("--alike %v: want a cosine above 0, up to 1, which measures all queries against each other", f.alike)
	}
	o, err := f.encoding(cmd, "proposals")
	if err != nil {
		return o, err
	}
	o.TextCache, o.SubtractEmpty, o.Alike = f.textCache, f.subtractEmpty, f.alike
	if o.Templates, err = readTemplates(f.Templates); err != nil {
		return o, err
	}
	o.Background, err = readBackground(f.Background)
	return o, err
}

// PlanIndex checks the flags of AddForIndex and returns their plan, which has no queries.
// Its errors mean wrong usage.
func (f *ScoringFlags) PlanIndex(cmd *cobra.Command) (Plan, error) {
	options, err := f.encoding(cmd, "max-regions")
	return Plan{autotune: f.autotune, Options: options}, err
}

// encoding checks the flags of encoding pictures, and returns their options. proposals is
// the name of the flag for them.
func (f *ScoringFlags) encoding(cmd *cobra.Command, proposals string) (detect.Options, error) {
	o := detect.Options{
		Models: f.Set(), Device: f.Device, DType: f.DType.Value, Proposals: f.proposals,
		Threads: f.threads, Batch: f.batch, ImageBatch: f.together, Logger: logger(cmd),
	}
	switch {
	case f.proposals < 1:
		return o, fmt.Errorf("--%s %d: want 1 or more", proposals, f.proposals)
	case f.threads < 0 || f.threads > maxThreads:
		return o, fmt.Errorf("--threads %d: want 0 (OMP_NUM_THREADS, or else one for each processor) to %d", f.threads, maxThreads)
	case f.batch < 1:
		return o, fmt.Errorf("--batch %d: want 1 or more", f.batch)
	case f.together < 0 || f.together > maxTogether:
		return o, fmt.Errorf("--batch-pictures %d: want 0 (which is 4) to %d", f.together, maxTogether)
	}
	for _, context := range f.contexts {
		if !(context > 0 && context <= 100) {
			return o, fmt.Errorf("--crop-context %v: want factors above 0 and at most 100, as in 1,1.5", context)
		}
		o.Crops = append(o.Crops, detect.Crop{Mode: detect.CropMode(f.crop.Value), Context: context})
	}
	return o, f.Check()
}

func readTemplates(which string) ([]string, error) {
	switch which {
	case "none":
		return prompt.BareName(), nil
	case "", "default":
		return prompt.Templates(), nil
	case "many":
		return prompt.ManyTemplates(), nil
	}
	file, err := files.Open(which)
	if err != nil {
		return nil, fmt.Errorf("--templates: %w (want none, default, many or a file)", err)
	}
	defer file.Close()
	templates, err := query.ReadTemplates(file)
	if err != nil {
		return nil, fmt.Errorf("--templates %s: %w", which, err)
	}
	return templates, nil
}

func readBackground(which string) ([]string, error) {
	switch which {
	case "none":
		return []string{}, nil
	case "", "default":
		return prompt.Background(), nil
	}
	file, err := files.Open(which)
	if err != nil {
		return nil, fmt.Errorf("--background: %w (want none, default or a file)", err)
	}
	defer file.Close()
	phrases, err := query.ReadPhrases(file)
	for i := 0; i < len(phrases) && err == nil; i++ {
		_, err = prompt.Tokens(phrases[i])
	}
	if err != nil {
		return nil, fmt.Errorf("--background %s: %w", which, err)
	}
	return phrases, nil
}

// parseQueries parses the queries of the command line, and then the queries of the file at
// path, unless that is "". More than most queries are an error.
func parseQueries(args []string, path string, most int) ([]query.Query, error) {
	var queries []query.Query
	for _, arg := range args {
		if len(queries) == most {
			return nil, fmt.Errorf("--query: %w: %d of them, and --max-queries is %d", detect.ErrLimit, len(args), most)
		}
		typed, err := query.Parse(arg)
		if err != nil {
			return nil, fmt.Errorf("--query: %w", err)
		}
		queries = append(queries, typed)
	}
	if path == "" {
		return queries, nil
	}
	file, err := files.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--queries: %w", err)
	}
	defer file.Close()
	more, err := query.ReadQueries(file, most-len(queries))
	if err != nil {
		return nil, fmt.Errorf("--queries %s: %w", path, err)
	}
	return append(queries, more...), nil
}

// withExamples returns the queries with the pictures of their examples. No two may have
// the same name. Those after the first flags ones are of a file, which errors name.
func withExamples(typed []query.Query, flags int, path string) ([]detect.Query, error) {
	var queries []detect.Query
	seen := map[string]bool{}
	pictures := map[string]*pixels.RGB{}
	for i, q := range typed {
		from := "--query"
		if i >= flags {
			from = "--queries " + path
		}
		if seen[q.Name] {
			return nil, fmt.Errorf("%s: %q is given twice; put its phrases in one, as in NAME=PHRASE|PHRASE", from, q.Name)
		}
		seen[q.Name] = true
		for i, file := range q.Files {
			if err := readExample(&q.Examples[i], file, pictures); err != nil {
				return nil, fmt.Errorf("%s %q: %w", from, q.Name, err)
			}
		}
		queries = append(queries, q.Query)
	}
	return queries, nil
}

// doubtNames says that a name looks like several names. What has phrases of its own is
// meant so.
func (p Plan) doubtNames(typed []query.Query) {
	var doubtful []string
	for _, q := range typed {
		if len(q.Phrases)+len(q.Examples) == 0 && several(q.Name) {
			doubtful = append(doubtful, q.Name)
		}
	}
	if len(doubtful) == 0 {
		return
	}
	others := ""
	if len(doubtful) > 1 {
		others = fmt.Sprintf(" (and %d more like it)", len(doubtful)-1)
	}
	console.Say(p.stderr, "%q is taken as one name%s; for several things give -q for each, or a line for each with --queries FILE", doubtful[0], others)
}

// several reports whether a name looks like several names in one, as other programs take
// them: "a dog . a cat ." or "dog, cat". clipdet takes it as one name.
func several(name string) bool {
	return strings.ContainsAny(name, ",;") || strings.Contains(name, " . ") || strings.HasSuffix(name, " .") ||
		strings.Contains(name, ". ") && strings.HasSuffix(name, ".")
}

// readExample decodes the picture of an example, or takes it from pictures, which maps
// file names to decoded pictures.
func readExample(e *detect.Example, file string, pictures map[string]*pixels.RGB) (err error) {
	picture := pictures[file]
	if picture == nil {
		if picture, err = pixels.DecodeFile(file, pixels.Limits{}); err != nil {
			return err
		}
		pictures[file] = picture
	}
	if e.Box != nil && e.Box.Clip(picture.Width, picture.Height).Empty() {
		return fmt.Errorf("the box of @%s has no part of the picture, which is %d x %d pixels", e.Name, picture.Width, picture.Height)
	}
	e.Image = picture
	return nil
}
