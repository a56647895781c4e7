// Package detect finds things in pictures by their names, with no training: zero-shot
// object detection.
//
// A region proposal network finds candidate boxes, CLIP embeds each box's pixels and
// each query's phrasings, the phrasings are averaged, and the cosine ranks the boxes
// for each query. All tensors stay on one device.
//
//	det, err := detect.Open(ctx, detect.Options{Models: builtin.Models()})
//	defer det.Close()
//	queries, err := det.Queries(ctx, detect.Query{Name: "dog"}, detect.Query{Name: "bike", Phrases: []string{"a bicycle"}})
//	defer queries.Close()
//	result, err := det.Detect(ctx, img, queries, detect.Params{TopK: 5})
//
// # Scores
//
// Let e be the unit embedding of a box (of several views, their mean, scaled to unit
// length again), and c_q the class of query q: the mean of the unit embeddings of its
// phrasings and examples, by their weights, scaled to unit length. Then
//
//	cosine_q      = e · c_q
//	probability_q = exp(s cosine_q) / (Σ exp(s e·c) over all queries and the background
//	                                   + Σ exp(s e·n) over q's own negative phrasings n)
//	fused_q       = sqrt(probability_q objectness)
//	mean_q        = (probability_q + objectness) / 2
//
// where s is the logit scale that the CLIP was trained with, and each phrase of the
// background is a class of its own.
//
// Boxes are in pixels of the picture that was given, as edges: the box of a whole
// picture of 640x480 is [0,0,640,480]. Probabilities and objectness are in [0,1].
//
// # The same answers
//
// The same models, options, picture, queries and Params give the same Result to the bit on
// one machine's CPU, whatever call asks ([Detector.Detect], [Regions.Match] or
// [Detector.DetectAll]), whatever Options.Batch is, what was embedded before or came from
// the text cache, and however many goroutines ask at once. Not the same in the last digits,
// and so perhaps in the order of boxes that are about as good, are
//
//   - results on a GPU, where sums may be made in another order each time;
//   - results with another number of Options.Threads, by default that of OMP_NUM_THREADS, or
//     else GOMAXPROCS;
//   - results on another processor, since libtorch has other code for its instructions, or
//     of another libtorch or dtype;
//   - results with Options.DType "auto", the default, on a CPU with instructions for
//     bfloat16, if the dtype is measured anew, as after model.CacheDir was emptied: where both
//     types are about as fast, either may be taken. A process measures once. Name the dtype, or
//     take [Unmeasured], where that must not be;
//   - results with Options.Pictures above 1, since pictures in a batch add up otherwise;
//   - results after a batch was halved for want of memory ([Stats].Halved).
//
// # Failures
//
// What goes wrong is the error of the call that caused it, and others go on: whatever
// libtorch throws, memory that doesn't suffice once a batch of one crop or phrase is too
// large, a nil or broken image, an ended context, which is looked at between operations. A
// call that waits for the engine returns at once when its context ends. A panic of the
// caller's code on a goroutine of this package, or in the methods of an image, becomes
// [ErrPanic]. After Close, also during it, calls fail with [ErrClosed]; only a running
// one is let end. [Detector.Stats] counts it all.
//
// A [Detector], its [Queries] and [Regions] are safe for concurrent use. Each Detector
// runs its tensors on one thread of its own, one call at a time; use one per GPU.
package detect

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"slices"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/clip"
	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// Errors of this package, for errors.Is. Those of the packages that it uses pass
// through: model.ErrMissing, model.ErrMismatch, prompt.ErrTooLong and so on.
var (
	// ErrClosed says that the detector, or what a call was given, has been closed.
	ErrClosed = torch.ErrClosed
	// ErrDevice says that the device was misnamed or isn't there.
	ErrDevice = torch.ErrDevice
	// ErrOutOfMemory says that the host's or the device's memory didn't suffice.
	ErrOutOfMemory = torch.ErrOutOfMemory
	// ErrPanic says that code of the caller's panicked while this package ran it: an
	// image's methods, the stream of DetectAll, Options.Progress, or Options.Logger in
	// Open and DetectAll. It is always a PanicError, which has the stack.
	ErrPanic = torch.ErrPanic
	// ErrOption says that an option or parameter is out of range.
	ErrOption = errors.New("unusable option")
	// ErrQuery says that the queries can't be used: none, a name twice, or those of
	// another detector.
	ErrQuery = errors.New("unusable queries")
	// ErrLimit says that there are more queries, phrases or detections than the limits
	// allow, Options.Limits and Params.MaxDetections; more than 8,192 boxes of a picture;
	// or more than 67,108,864 boxes times queries.
	ErrLimit = prompt.ErrLimit
	// ErrOutput says that a model gave something that is no number.
	ErrOutput = errors.New("unusable output of a model")
)

// PanicError is a panic of the caller's code that became the error of the call.
type PanicError = torch.PanicError

// The defaults that a zero Options stands for.
const (
	DefaultProposals = 300
	DefaultBatch     = 64
	// DefaultPictures is that of a GPU. On a CPU it is 1.
	DefaultPictures = 4
)

// maxAtOnce is far more pictures than help: a stream's look-ahead has room for as many.
const maxAtOnce = 1024

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
	// Pictures is how many pictures of a stream go together in DetectAll, those of one
	// size as one batch of the proposal network, and their crops in common batches: each
	// result then waits for that many. 0 is 1 on a CPU, where more gain nothing and may
	// change the proposals' last digits, and DefaultPictures on a GPU. 1,024 are the most.
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

// complete finds the device, and puts the defaults in.
func (o Options) complete() (torch.Device, Options, error) {
	device, err := torch.ParseDevice(o.Device)
	if err != nil {
		return device, o, fmt.Errorf("detect: %w", err)
	}
	o, err = o.withDefaults(device)
	return device, o, err
}

func (o Options) withDefaults(device torch.Device) (Options, error) {
	for name, value := range map[string]int{"Proposals": o.Proposals, "Batch": o.Batch, "Pictures": o.Pictures, "Threads": o.Threads} {
		if value < 0 {
			return o, fmt.Errorf("detect: %w: %s is %d; it must be positive, or 0 for the default", ErrOption, name, value)
		}
	}
	if o.Pictures > maxAtOnce {
		return o, fmt.Errorf("detect: %w: Pictures is %d; %d are the most", ErrOption, o.Pictures, maxAtOnce)
	}
	if o.Threads > torch.MaxThreads {
		return o, fmt.Errorf("detect: %w: Threads is %d; %d are the most", ErrOption, o.Threads, torch.MaxThreads)
	}
	// Whoever goes on to use the slices doesn't change the answers.
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
		o.Pictures = 1
		if device.IsCUDA() {
			o.Pictures = DefaultPictures
		}
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

// Detector holds the models on a device. Close frees them.
type Detector struct {
	options   Options
	files     model.Files
	choice    DTypeChoice
	tokenizer *prompt.Tokenizer
	engine    *torch.Engine
	network   *rpn.Network
	image     *clip.Encoder
	text      *clip.Encoder
	texts     textCache
	counts    counts
}

// Open loads the models onto the device. The caller closes the Detector.
func Open(ctx context.Context, options Options) (*Detector, error) {
	device, options, err := options.complete()
	if err != nil {
		return nil, err
	}
	files, choice, err := hostChooser().resolve(ctx, options, device)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	tokenizer, err := prompt.NewTokenizer()
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	engine, err := torch.Start(device, options.Threads)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	d := &Detector{options: options, files: files, choice: choice, tokenizer: tokenizer, engine: engine}
	d.texts = newTextCache(options.TextCache, files.Text.Manifest, device, options.Logger)
	if err := engine.Do(ctx, d.load); err != nil {
		engine.Close()
		return nil, fmt.Errorf("detect: %w", err)
	}
	return d, nil
}

func (d *Detector) load(s *torch.Scope) (err error) {
	if d.network, err = rpn.Load(s, d.files.RPN); err != nil {
		return err
	}
	if d.image, err = clip.Load(s, d.files.Image); err != nil {
		return err
	}
	if d.text, err = clip.Load(s, d.files.Text); err != nil {
		return err
	}
	for _, file := range []model.File{d.files.RPN, d.files.Image, d.files.Text} {
		if err := file.Unchanged(); err != nil {
			return err
		}
	}
	d.options.Logger.Debug("models loaded", "device", d.engine.Device().String(),
		"threads", d.options.Threads, "dtype", d.choice.Type, "why", d.choice.Why,
		"rpn", d.files.RPN.Path, "image", d.files.Image.Path, "text", d.files.Text.Path)
	return nil
}

// Close waits for the running call, refuses what waits with ErrClosed, and frees the
// models, and the Queries and Regions that weren't closed. It may be called twice.
func (d *Detector) Close() error { return d.engine.Close() }

// Info says what a Detector runs on.
type Info struct {
	Device           string
	Threads          int // of one operation on the CPU
	RPN, Image, Text model.File
	DType            DTypeChoice
}

// Info says what d runs on. The slices in the manifests are d's own and must not be changed.
func (d *Detector) Info() Info {
	return info(d.engine.Device(), d.options, d.files, d.choice)
}

func info(device torch.Device, options Options, files model.Files, choice DTypeChoice) Info {
	return Info{Device: device.String(), Threads: options.Threads, RPN: files.RPN, Image: files.Image, Text: files.Text, DType: choice}
}

// Resolve says what [Open] with the same options runs on. It chooses as Open does, measuring
// included, but loads no detector.
func Resolve(ctx context.Context, options Options) (Info, error) {
	device, options, err := options.complete()
	if err != nil {
		return Info{}, err
	}
	files, choice, err := hostChooser().resolve(ctx, options, device)
	if err != nil {
		return Info{}, fmt.Errorf("detect: %w", err)
	}
	return info(device, options, files, choice), nil
}

// Detect finds the queries in a picture. The picture is the caller's and isn't changed.
func (d *Detector) Detect(ctx context.Context, img image.Image, queries *Queries, params Params) (_ *Result, err error) {
	defer d.ended(ctx, "Detect", time.Now(), &err)
	return d.detect(ctx, img, queries, params)
}

func (d *Detector) detect(ctx context.Context, img image.Image, queries *Queries, params Params) (*Result, error) {
	regions, err := d.regionsOf(ctx, img)
	if err != nil {
		return nil, err
	}
	defer regions.Close()
	return regions.match(ctx, queries, params)
}
