package detect

import (
	"context"
	"fmt"
	"image"
	"slices"
	"sync/atomic"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/clip"
	"github.com/clipdet/clipdet/pkg/internal/rpn"
	"github.com/clipdet/clipdet/pkg/internal/scripted"
	"github.com/clipdet/clipdet/pkg/internal/tokens"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model"
)

// Detector finds queries in pictures with three models on one device. Close frees them.
type Detector struct {
	options    Options
	files      archive.Files
	choice     DTypeChoice
	tokenizer  *tokens.Tokenizer
	engine     *torch.Engine
	network    *rpn.Network
	image      *clip.Encoder
	text       *clip.Encoder
	texts      textCache
	remembered *textMemory
	queue      *queue
	served     chan struct{} // closed when serve has returned
	waiting    atomic.Int64  // calls that wait for the engine, except the queue's tasks
	counts     counts
}

// Open loads the models onto the device, unless [Options] say OnDemand. It fails with
// ErrOption or ErrDevice if options can't be used, with the errors of package model if
// models can't, and with ErrNotHere if the device has no operations for the type of the
// weights. The caller closes the Detector.
func Open(ctx context.Context, options Options) (*Detector, error) {
	device, options, err := options.complete()
	if err != nil {
		return nil, err
	}
	return openOn(ctx, options, device)
}

// openOn opens a detector on a device, with options that are complete.
func openOn(ctx context.Context, options Options, device torch.Device) (*Detector, error) {
	files, choice, err := hostChooser().resolve(ctx, options, device)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	tokenizer, err := tokens.NewTokenizer()
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	d := &Detector{options: options, files: files, choice: choice, tokenizer: tokenizer, queue: newQueue(), served: make(chan struct{})}
	if err := d.networks(); err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	if d.engine, err = torch.Start(device, options.Threads); err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	d.texts = newTextCache(options.TextCache, files.Text.Manifest, device, options.Threads, options.Logger)
	d.remembered = newTextMemory(options.TextMemory)
	if !options.OnDemand {
		if err := d.engine.Do(ctx, d.load); err != nil {
			d.engine.Close()
			return nil, fmt.Errorf("detect: %w", publicError(err))
		}
	}
	go d.serve()
	return d, nil
}

// networks makes the three models, and none is loaded yet.
func (d *Detector) networks() (err error) {
	if d.network, err = rpn.New(d.files.RPN); err != nil {
		return err
	}
	if d.image, err = clip.New(d.files.Image); err != nil {
		return err
	}
	d.text, err = clip.New(d.files.Text)
	return err
}

func (d *Detector) load(s *torch.Scope) error {
	for _, model := range []*scripted.Model{d.network.Model, d.image.Model, d.text.Model} {
		if _, err := model.Load(s); err != nil {
			return err
		}
	}
	d.options.Logger.Debug("models loaded", "device", d.engine.Device().String(),
		"threads", d.options.Threads, "dtype", d.choice.Type, "why", d.choice.Why,
		"rpn", d.files.RPN.Path, "image", d.files.Image.Path, "text", d.files.Text.Path)
	return nil
}

// Close waits for the work that runs, and fails waiting calls with ErrClosed. It then
// frees the models, and the Queries and Regions that weren't closed. It may be called
// more than once.
func (d *Detector) Close() error {
	d.queue.close()
	<-d.served
	return d.engine.Close()
}

// onEngine runs work on the engine's thread, and counts the time that it waits.
func (d *Detector) onEngine(ctx context.Context, work func(*torch.Scope) error) error {
	return d.count(ctx, d.engine.Do, work)
}

// onEngineBetween is onEngine for a few operations, which may run between the operations
// of longer work.
func (d *Detector) onEngineBetween(ctx context.Context, work func(*torch.Scope) error) error {
	return d.count(ctx, d.engine.DoShort, work)
}

func (d *Detector) count(ctx context.Context, do func(context.Context, func(*torch.Scope) error) error, work func(*torch.Scope) error) error {
	since, started := time.Now(), false
	d.waiting.Add(1)
	err := do(ctx, func(s *torch.Scope) error {
		started = true
		d.waiting.Add(-1)
		d.counts.wait.Add(int64(time.Since(since)))
		return work(s)
	})
	if !started {
		d.waiting.Add(-1)
	}
	return publicError(err)
}

// Info describes the device, models and type of weights of a Detector.
type Info struct {
	Device           string
	Threads          int // CPU threads of one operation
	RPN, Image, Text model.File
	DType            DTypeChoice
	Crops            []Crop // what CLIP sees of each box
}

// Info returns the device, models and type of weights of d.
func (d *Detector) Info() Info {
	return info(d.engine.Device(), d.options, d.files, d.choice)
}

// Info returns the Info of the Detector that made r, also after Close.
func (r *Regions) Info() Info { return r.detector.Info() }

func info(device torch.Device, options Options, files archive.Files, choice DTypeChoice) Info {
	return Info{Device: device.String(), Threads: options.Threads, DType: choice, Crops: slices.Clone(options.Crops),
		RPN: model.FileOf(files.RPN), Image: model.FileOf(files.Image), Text: model.FileOf(files.Text)}
}

// Resolve returns the Info of a Detector that [Open] would make of the same options. It
// chooses the device and models as Open does, and may measure for that, but makes no
// Detector.
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

// Detect finds the queries in img. It doesn't change img. If ctx ends, Detect returns at
// once, and img isn't read afterwards.
func (d *Detector) Detect(ctx context.Context, img image.Image, queries *Queries, params Params) (_ *Result, err error) {
	defer d.callEnds(ctx, "Detect", time.Now(), &err)
	m, err := d.matching(queries, params)
	if err != nil {
		return nil, err
	}
	t, err := d.prepare(ctx, img)
	if err != nil {
		return nil, err
	}
	if err := d.ask(t, &m); err != nil {
		return nil, err
	}
	d.queue.add(t)
	return d.detect(t)
}

// detect waits for a task of the queue, and then does its tiles.
func (d *Detector) detect(t *task) (*Result, error) {
	result, err := d.await(t)
	if err != nil || len(t.tiles) == 0 {
		return result, err
	}
	return d.withTiles(t, result)
}

// await waits for a task of the queue, and takes it through the steps 5 and 6 of
// way.go.
func (d *Detector) await(t *task) (*Result, error) {
	o := t.wait(d.queue)
	if o.err != nil {
		return nil, fmt.Errorf("detect: %w", o.err)
	}
	defer o.regions.Close()
	d.regionsEnd(t.ctx, o.regions)
	return o.regions.result(t.ctx, o.top, *t.matching)
}
