package detect

import (
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// The defaults of Options.Proposals and Options.Batch.
const (
	DefaultProposals = 300
	DefaultBatch     = 1024
)

const (
	defaultImageBatch = 4
	// maxImageBatch is far more pictures than help. A stream reads as many ahead.
	maxImageBatch = 1024
)

// Options configure a Detector. Only Models is required. Open copies the slices.
type Options struct {
	// Models are the three archives: builtin.Models(), model.Dir(path) or
	// model.Locked(lock, path).
	Models model.Set
	// Device is "cpu", "cuda:N", or "auto", the default: the first GPU, else the CPU.
	Device string
	// DType is the type of the weights: "float32", "bfloat16" or "float16", which all
	// three archives must then have, "int8", "auto", the default, or [Unmeasured].
	//
	// "int8" is for CPUs with VNNI. The image tower must be there in int8; an RPN never
	// is. The transformers then multiply 8-bit integers, which is about twice as fast as
	// float32. Scores differ in the second or third digit, so compare the detections
	// first ('clipdet models compare'). "auto" never takes it. Without VNNI it runs, with 7
	// bits for the activations, and may be slower than float32: then the Logger gets a
	// warning. On a GPU and on aarch64 Open fails with ErrNotHere.
	//
	// "auto" takes the fastest type that an archive exists in. On a GPU it prefers
	// bfloat16, from compute capability 8.0 on, and then float16. On a CPU without
	// instructions for bfloat16 it is float32. On another CPU the first Open loads the
	// image tower in both types and times some crops, which takes half a second, or
	// the time of two crops if that is longer. If the tower is a tenth faster in
	// bfloat16, all three models use it. The times are kept in model.CacheDir for the
	// processor, libtorch, number of threads and archives. Scores in bfloat16 differ in
	// the third digit.
	DType string
	// OnDemand loads each model when it is first used, and not in Open. A program that only
	// asks for words, and compares stored embeddings with them, then has one model of three
	// in memory. A model that can't be loaded fails the calls that need it, with Open's
	// errors. A file that changed since Open is checked again; if another archive took its
	// place, that is model.ErrMismatch.
	OnDemand bool
	// Proposals is the largest number of candidate boxes of a picture; 0 is
	// DefaultProposals. If a picture still has more than 8,192 boxes, its call fails with
	// ErrLimit.
	Proposals int
	// Crops are the views of each box that CLIP sees. The embeddings of several views are
	// averaged, and the mean is scaled to unit length. Empty is one zero Crop: the box
	// alone, cut as the image tower was trained.
	Crops []Crop
	// Templates are filled with the name of each query that has neither phrases nor
	// examples; nil is prompt.Templates().
	Templates []string
	// Background are phrasings of things of no interest. Each is a further class of the
	// softmax, so that a box can be none of the queries; nil is prompt.Background(), and
	// an empty slice is none.
	Background []string
	// Alike says which queries mean the same: those whose classes, less the mean of the
	// background, have a greater cosine. In a softmax of all queries they would share one
	// probability, and nothing would be found of either. So a query isn't measured against
	// its like, and like queries together weigh as one against the others. 0 is
	// DefaultAlike; at 1 or more no queries are alike, and Probability is the plain
	// softmax. Queries.Alike returns the pairs.
	Alike float64
	// Limits bound the queries and their phrases. The zero Limits are the defaults.
	Limits Limits
	// SubtractEmpty subtracts the mean of the templates filled with nothing ("a photo of
	// a .") from the mean of each query's phrasings, and scales the rest to unit length:
	// what all phrasings share doesn't describe a thing. Each phrase of the background
	// and each negative phrase is treated the same way. Examples aren't changed. CLIP
	// Surgery (Li et al., arXiv:2304.05653) subtracts the embedding of an empty text from
	// a lone query's embedding, without the new length. Cosines become much smaller and
	// probabilities less certain, so other thresholds are needed.
	SubtractEmpty bool
	// Batch is the largest number of crops, or phrases, that a GPU encodes at once. It
	// bounds the memory. 0 is DefaultBatch. If the memory doesn't suffice, the batch is
	// halved until it does, and stays so for later pictures. A CPU always encodes 16
	// crops, or as many as the archive says, or 8 phrases, so that an embedding doesn't
	// depend, to the bit, on the other inputs of its batch.
	Batch int
	// ImageBatch is the largest number of waiting pictures, of any calls, that go through
	// the models together. Their crops share batches, and a GPU proposes for pictures of
	// one size at once. No picture waits for others to arrive. 0 is 4, and 1,024 is the
	// largest.
	ImageBatch int
	// TextCache is a directory that keeps the embeddings of phrases, so that a later run
	// with the same model doesn't encode them again. It is made if it is missing. A
	// phrase takes up to 4 D bytes in each list that has it, where D is the width of an
	// embedding. "" keeps none.
	TextCache string
	// TextMemory is the number of phrases, those that were used last, whose embeddings are
	// kept in memory: 4 D bytes each. It is for a service, whose words come from strangers
	// and shouldn't fill a disk, but come again, and whose background is always the same.
	// 0 keeps none.
	TextMemory int
	// Progress is called with the number of phrases that are encoded and the number that
	// a call of Queries has to encode. It runs on the engine's thread, so it must return
	// soon and not call the Detector. If it panics, the call of Queries fails with
	// ErrPanic. It may be nil.
	Progress func(done, phrases int)
	// Threads is the number of CPU threads of one operation of this Detector, at most
	// 1,024; 0 is OMP_NUM_THREADS of the environment, or else GOMAXPROCS. The threads
	// wait for each other by spinning, which is very slow if other programs keep the
	// processors busy. Then use one thread, or start the program with
	// GOMP_SPINCOUNT=10000 in its environment, which libgomp reads when it is loaded.
	Threads int
	// Synchronize waits for the device at the end of each stage, so that each of the
	// Timings includes only its own stage. It is for measuring, since it keeps a GPU from
	// working ahead. On a CPU it has no effect.
	Synchronize bool
	// Logger receives events at Debug level, and a warning if DType is "int8" on a
	// processor without VNNI. It may be nil.
	Logger *slog.Logger
}

// complete returns the device, and the options with their defaults.
func (o Options) complete() (torch.Device, Options, error) {
	device, err := torch.ParseDevice(o.Device)
	if err != nil {
		return device, o, fmt.Errorf("detect: %w", err)
	}
	o, err = o.withDefaults()
	return device, o, err
}

func (o Options) withDefaults() (Options, error) {
	for _, option := range []struct {
		name        string
		value, most int
	}{
		{"Proposals", o.Proposals, math.MaxInt},
		{"Batch", o.Batch, math.MaxInt},
		{"ImageBatch", o.ImageBatch, maxImageBatch},
		{"Threads", o.Threads, torch.MaxThreads},
		{"TextMemory", o.TextMemory, math.MaxInt},
	} {
		if option.value < 0 {
			return o, fmt.Errorf("detect: %w: %s is %d; it must be positive, or 0 for the default", ErrOption, option.name, option.value)
		}
		if option.value > option.most {
			return o, fmt.Errorf("detect: %w: %s is %d; %d are the most", ErrOption, option.name, option.value, option.most)
		}
	}
	if !(o.Alike >= 0) {
		return o, fmt.Errorf("detect: %w: Alike is %v; it is a cosine above 0, or 0 for the default", ErrOption, o.Alike)
	}
	if o.Alike == 0 {
		o.Alike = DefaultAlike
	}
	// The caller may change its slices later.
	o.Crops, o.Templates, o.Background = slices.Clone(o.Crops), slices.Clone(o.Templates), slices.Clone(o.Background)
	if len(o.Crops) == 0 {
		o.Crops = []Crop{{}}
	}
	for i, crop := range o.Crops {
		var err error
		if o.Crops[i], err = crop.complete(); err != nil {
			return o, fmt.Errorf("detect: %w", err)
		}
	}
	if o.Proposals == 0 {
		o.Proposals = DefaultProposals
	}
	if o.Batch == 0 {
		o.Batch = DefaultBatch
	}
	if o.ImageBatch == 0 {
		o.ImageBatch = defaultImageBatch
	}
	if o.Threads == 0 {
		o.Threads = torch.DefaultThreads()
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	if o.DType == "" {
		o.DType = model.Auto
	}
	if !slices.Contains(DTypes(), o.DType) {
		return o, fmt.Errorf("detect: %w: DType is %q; write one of %v", ErrOption, o.DType, DTypes())
	}
	if o.Templates == nil {
		o.Templates = prompt.Templates()
	}
	if o.Background == nil {
		o.Background = prompt.Background()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
