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
	DefaultPictures  = 4
)

// maxPictures is far more pictures than help. A stream reads as many ahead.
const maxPictures = 1024

// Options say how to open a Detector. Only Models is needed. The slices stay the caller's.
type Options struct {
	// Models are the three archives: builtin.Models(), model.Dir(path) or model.Locked(lock, path).
	Models model.Set
	// Device is "auto" (the default: the first GPU, else the CPU), "cpu" or "cuda:N".
	Device string
	// DType picks the archives by the type of their weights: "float32", "bfloat16" or
	// "float16", which all three must then have, or "auto", the default, which takes the
	// fastest for each of the three that is there in it, else float32. On a GPU that is
	// bfloat16 from compute capability 8.0, and then float16. A CPU without instructions for
	// bfloat16 takes float32. With them, the first Open loads the image tower in both types
	// and times a block of crops, or fewer, two at least: half a second in all, and longer if
	// two crops take longer. It takes bfloat16 for all three models if the tower is a tenth
	// faster in it. The times are kept in model.CacheDir for the processor, libtorch, number of
	// threads and archives. [Unmeasured] is the same without measuring: bfloat16 on a CPU
	// with AMX. Scores in bfloat16 differ in the third digit.
	DType string
	// Proposals is the largest number of candidate boxes of a picture; 0 is DefaultProposals.
	// Where there are more than 8,192, that is ErrLimit.
	Proposals int
	// Crops say what CLIP sees of each box, one view each. The embeddings of several
	// views are averaged, and the mean is scaled to unit length again. nil is one zero
	// Crop, which is CLIP's own way on the box alone.
	Crops []Crop
	// Templates are filled with the name of each query that has no phrases of its
	// own; nil is prompt.Templates().
	Templates []string
	// Background are phrasings of what is of no interest. Each is a further class of
	// the softmax, so that a box may be none of the queries; nil is
	// prompt.Background(), and an empty slice none.
	Background []string
	// Limits bound the queries and their phrases; the zero Limits are the defaults.
	Limits prompt.Limits
	// SubtractEmpty takes from the mean of each query's phrasings the mean of the
	// templates filled with nothing ("a photo of a ."), and scales what is left to unit
	// length: what all phrasings share says nothing about a thing. So it is for each
	// phrase of the background and each negative one; examples stay as they are. CLIP
	// Surgery (Li et al., arXiv:2304.05653) takes an empty text's embedding from a lone
	// query's in this way, without the new length. It makes cosines much smaller and
	// probabilities less sure, so thresholds have to be found anew.
	SubtractEmpty bool
	// Batch is the largest number of crops, or phrases, that a GPU encodes at once; it
	// bounds the memory. 0 is DefaultBatch. A CPU takes 16 whatever it is, so that an
	// embedding is the same to the bit whatever is encoded with it.
	Batch int
	// Pictures is the largest number of pictures that go through the models together, of
	// those that wait at a time, whatever calls they are of. Their crops share batches; a GPU
	// proposes for those of one size at once. No picture waits for others to come. 0 is
	// DefaultPictures, and 1,024 are the most.
	Pictures int
	// TextCache is a directory, made where it is missing, in which the embeddings of
	// phrases are kept, so that a later run with the same model and phrases needn't
	// encode them: up to 4 D bytes a phrase, D the embedding's width. "" keeps none.
	TextCache string
	// Progress, where it isn't nil, is told how many of the phrases that Queries has to
	// encode are done, from the engine's thread: it must return soon, and not call d. A
	// panic in it is the ErrPanic of that call of Queries.
	Progress func(done, phrases int)
	// Threads is the number of CPU threads of one operation, at most 1,024; 0 is that of
	// OMP_NUM_THREADS in the environment, or else GOMAXPROCS. It is this Detector's alone. They
	// wait for each other by spinning, which is very slow where other programs keep
	// the processors busy: then start your program with GOMP_SPINCOUNT=10000 in its
	// environment, which libgomp reads when it is loaded, or use one thread.
	Threads int
	// Synchronize waits for the device at the end of each stage, so that the Timings
	// are those of the stages themselves. That keeps a GPU from working ahead, so it
	// is for measuring; on the CPU it changes nothing.
	Synchronize bool
	// Logger receives what happens at Debug level; nil is silent.
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
		{"Pictures", o.Pictures, maxPictures},
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
	if o.Pictures == 0 {
		o.Pictures = DefaultPictures
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
