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

// The defaults that a zero Options stands for.
const (
	DefaultProposals = 300
	DefaultBatch     = 64
)

const (
	defaultImageBatch = 4
	// maxImageBatch is far more pictures than help. A stream reads as many ahead.
	maxImageBatch = 1024
)

// Options are the choices that Open makes a Detector by. Only Models is needed. The slices
// stay the caller's.
type Options struct {
	// Models are the three archives: builtin.Models(), model.Dir(path) or
	// model.Locked(lock, path).
	Models model.Set
	// Device is "auto" (the default: the first GPU, else the CPU), "cpu" or "cuda:N".
	Device string
	// DType is the type of the weights: "float32", "bfloat16" or "float16", which all three
	// archives must then have, or "auto", the default, or [Unmeasured].
	//
	// "auto" takes the fastest type that an archive is there in. On a GPU that is bfloat16
	// from compute capability 8.0 on, and then float16. On a CPU without instructions for
	// bfloat16 it is float32. On another CPU the first Open loads the image tower in both
	// types and times up to 16 crops, which takes half a second, or the time of two crops if
	// that is longer. It takes bfloat16 for all three models if the tower is a tenth faster
	// in it. The times are kept in model.CacheDir for the processor, libtorch, number of
	// threads and archives. Scores in bfloat16 differ in the third digit.
	DType string
	// Proposals is the largest number of candidate boxes of a picture; 0 is DefaultProposals.
	// More than 8,192 boxes are ErrLimit.
	Proposals int
	// Crops are the views of each box that CLIP sees. The embeddings of several views are
	// averaged, and the mean is scaled to unit length again. nil is one zero Crop, which is
	// CLIP's own way on the box alone.
	Crops []Crop
	// Templates are filled with the name of each query that has no phrases of its own; nil
	// is prompt.Templates().
	Templates []string
	// Background are phrasings of things of no interest. Each is a further class of the
	// softmax, so that a box may be none of the queries; nil is prompt.Background(), and an
	// empty slice is none.
	Background []string
	// Limits bound the queries and their phrases; the zero Limits are the defaults.
	Limits Limits
	// SubtractEmpty subtracts the mean of the templates filled with nothing ("a photo of a
	// .") from the mean of each query's phrasings, and scales the rest to unit length: what
	// all phrasings share tells nothing about a thing. The same is done for each phrase of
	// the background and each negative phrase; examples stay as they are. CLIP Surgery (Li et
	// al., arXiv:2304.05653) subtracts the embedding of an empty text from a lone query's in
	// this way, without the new length. It makes cosines much smaller and probabilities less
	// sure, so thresholds have to be found anew.
	SubtractEmpty bool
	// Batch is the largest number of crops, or phrases, that a GPU encodes at once; it
	// bounds the memory. 0 is DefaultBatch. A CPU always takes 16, so that an embedding
	// doesn't depend, to the bit, on the others of its batch.
	Batch int
	// ImageBatch is the largest number of waiting pictures, of any calls, that go through the
	// models together. Their crops share batches; a GPU proposes for those of one size at
	// once. No picture waits for others to come. 0 is 4, and 1,024 is the largest.
	ImageBatch int
	// TextCache is a directory, made if it is missing, in which the embeddings of phrases
	// are kept, so that a later run with the same model and phrases needn't encode them: up
	// to 4 D bytes a phrase, D the embedding's width. "" keeps none.
	TextCache string
	// Progress is told how many of the phrases that Queries has to encode are done; nil
	// isn't. It runs on the engine's thread: it must return soon, and not call the Detector.
	// A panic in it is the ErrPanic of that call of Queries.
	Progress func(done, phrases int)
	// Threads is the number of CPU threads of one operation, at most 1,024; 0 is
	// OMP_NUM_THREADS of the environment, or else GOMAXPROCS. It is this Detector's alone.
	// The threads wait for each other by spinning, which is very slow if other programs keep
	// the processors busy: then start your program with GOMP_SPINCOUNT=10000 in its
	// environment, which libgomp reads when it is loaded, or use one thread.
	Threads int
	// Synchronize waits for the device at the end of each stage, so that each of the Timings
	// is the stage's own. It keeps a GPU from working ahead, so it is for measuring; on a CPU
	// it changes nothing.
	Synchronize bool
	// Logger receives events at Debug level; nil is silent.
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
	} {
		if option.value < 0 {
			return o, fmt.Errorf("detect: %w: %s is %d; it must be positive, or 0 for the default", ErrOption, option.name, option.value)
		}
		if option.value > option.most {
			return o, fmt.Errorf("detect: %w: %s is %d; %d are the most", ErrOption, option.name, option.value, option.most)
		}
	}
	// The caller may change his slices.
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
