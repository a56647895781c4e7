package bench

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/outcome"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/device"
	"github.com/clipdet/clipdet/pkg/pixels"
	"github.com/clipdet/clipdet/pkg/prompt"
	"github.com/clipdet/clipdet/pkg/results"
)

// bench is one run of the command.
type bench struct {
	flags    *Flags
	plan     settings.Plan
	device   string
	scratch  string // for made and drawn pictures
	progress console.Progress
	inputs   []intake.Input // of one round
	report   Report
}

func (b *bench) measure(ctx context.Context) error {
	for _, part := range []struct {
		does string
		run  func(context.Context) error
		of   bool // whether it was asked for
	}{
		{"rounds, as detect runs", b.measureRounds, true},
		{"peak", b.measurePeaks, b.flags.stages},
		{"rounds, stage by stage", b.measureStages, b.flags.stages},
		{"peak again", b.measurePeaks, b.flags.stages},
		{"CLIP by batch size", b.measureEncoder, true},
		{"peak again", b.measurePeaks, b.flags.stages},
	} {
		if !part.of {
			continue
		}
		b.progress.Say("%s", part.does)
		if err := part.run(ctx); err != nil {
			return err
		}
	}
	if !b.flags.stages {
		return nil
	}
	b.report.utilise()
	return nil
}

// measureRounds detects in all pictures several times, with all parts overlapped.
func (b *bench) measureRounds(ctx context.Context) error {
	r := &b.report
	inUse := gpuInUse(b.device)
	start := time.Now()
	detector, err := detect.Open(ctx, b.plan.Options)
	if err != nil {
		return exit.NotOpened(ctx, err)
	}
	defer detector.Close()
	r.LoadMS = ms(time.Since(start))
	r.models(detector.Info())
	queries, err := detector.Queries(ctx, b.plan.Queries...)
	if err != nil {
		return exit.NotOpened(ctx, err)
	}
	if b.flags.warmUp > 0 {
		if _, err := b.round(ctx, detector, queries, b.first(b.flags.warmUp)); err != nil {
			return err
		}
	}
	r.Workload.Queries = len(queries.Names())
	warm := hostMemory()
	before := detector.Stats()
	var images, crops, modules, cropping []float64
	proposals := 0
	for i := range b.flags.rounds {
		start := time.Now()
		found, err := b.round(ctx, detector, queries, b.inputs)
		if err != nil {
			return err
		}
		took := time.Since(start).Seconds()
		b.progress.Say("round %d of %d: %d pictures in %.1f s", i+1, b.flags.rounds, len(b.inputs), took)
		images, crops = append(images, float64(len(b.inputs))/took), append(crops, float64(found.proposals*b.views())/took)
		modules, cropping = append(modules, found.modules.Seconds()/took), append(cropping, found.crop.Seconds()/took)
		proposals += found.proposals
	}
	now, pictures := detector.Stats(), float64(b.flags.rounds*len(b.inputs))
	of := func(name string) float64 { return float64(now.Device[name]-before.Device[name]) / pictures }
	r.Device = deviceWork{of("operations"), of("uploads"), of("downloads")}
	end := hostMemory()
	r.Memory.Host = hostUse{Peak: end.peak, Growth: end.now - warm.now}
	if b.device != "cpu" {
		r.Memory.Device = &deviceUse{Peak: gpuInUse(b.device) - inUse}
	}
	r.Throughput.Images, r.Throughput.Crops = spreadOf(images), spreadOf(crops)
	r.Rounds.Modules, r.Rounds.Crop = spreadOf(modules), spreadOf(cropping)
	r.Workload.Proposals = float64(proposals) / float64(b.flags.rounds*len(b.inputs))
	return nil
}

// first returns n inputs. It repeats them if there are fewer.
func (b *bench) first(n int) []intake.Input {
	var some []intake.Input
	for i := range n {
		some = append(some, b.inputs[i%len(b.inputs)])
	}
	return some
}

// totals are sums over the pictures of a round.
type totals struct {
	proposals     int
	modules, crop time.Duration // in the forwards of rpn and clip-image, and in cropping
}

// round processes the inputs as the detect command does, but discards the results.
func (b *bench) round(ctx context.Context, detector *detect.Detector, queries *detect.Queries, inputs []intake.Input) (sum totals, err error) {
	budget := b.plan.Budget(settings.DefaultMemory)
	images, decoded := budget.Keep(ctx, intake.DecodeAhead(ctx, inputs, pixels.Limits{}, intake.Decoders()), len(inputs))
	job := outcome.Job{
		Inputs: inputs, Results: results.NewJSONLWriter(io.Discard), Progress: b.progress.Quiet(),
		Budget: budget, Decoded: decoded,
	}
	if b.flags.pictures {
		job.Pictures = outcome.NewPictures(b.scratch, queries.Names())
	}
	outcomes := detector.DetectAll(ctx, images, queries, b.plan.Params)
	err = job.Run(ctx, counting(outcomes, &sum))
	return sum, err
}

func counting(outcomes iter.Seq2[*detect.Result, error], sum *totals) iter.Seq2[*detect.Result, error] {
	return func(yield func(*detect.Result, error) bool) {
		for result, err := range outcomes {
			if err == nil {
				sum.proposals += len(result.Proposals)
				sum.modules += result.Timings[detect.StageRPN] + result.Timings[detect.StageEncode]
				sum.crop += result.Timings[detect.StageCrop]
			}
			if !yield(result, err) {
				return
			}
		}
	}
}

// measureStages processes the pictures one at a time. The detector waits for the device
// at the end of each stage.
func (b *bench) measureStages(ctx context.Context) error {
	options := b.plan.Options
	options.Synchronize = true
	detector, err := detect.Open(ctx, options)
	if err != nil {
		return exit.NotOpened(ctx, err)
	}
	defer detector.Close()
	var queries *detect.Queries
	var texts, rates []float64
	// The first round warms up, and its queries are used for the pictures.
	for i := range b.flags.rounds + 1 {
		before := detector.Stats()
		again, err := detector.Queries(ctx, b.plan.Queries...)
		if err != nil {
			return exit.NotOpened(ctx, err)
		}
		if i == 0 {
			queries = again
			continue
		}
		again.Close()
		now := detector.Stats()
		phrases, took := int(now.Phrases-before.Phrases), now.Text-before.Text
		texts, rates = append(texts, ms(took)), append(rates, float64(phrases)/took.Seconds())
		b.report.Workload.Phrases = phrases
	}
	b.report.Throughput.Phrases, b.report.Text = spreadOf(rates), spreadOf(texts)
	if b.report.words, err = b.words(); err != nil {
		return exit.Setup(err)
	}

	drawing := outcome.NewPictures(b.scratch, queries.Names())
	var samples []stageTimes
	for _, in := range b.first(b.flags.warmUp) {
		if _, err := b.stages(ctx, detector, queries, drawing, in); err != nil {
			return err
		}
	}
	for range b.flags.rounds {
		for _, in := range b.inputs {
			times, err := b.stages(ctx, detector, queries, drawing, in)
			if err != nil {
				return err
			}
			samples = append(samples, times)
		}
	}
	b.report.addStages(samples)
	return nil
}

// stageTimes are the times of one picture.
type stageTimes struct {
	detected            detect.Timings
	decode, draw, whole time.Duration
	resized             float64 // pixels for the rpn, without padding
	crops               int
}

func (b *bench) stages(ctx context.Context, detector *detect.Detector, queries *detect.Queries, drawing *outcome.Pictures, in intake.Input) (t stageTimes, err error) {
	start := time.Now()
	picture, err := intake.Decode(ctx, in, pixels.Limits{})
	if err != nil {
		return t, exit.Inputs(fmt.Errorf("%s", console.Naming(in.Path, err)))
	}
	t.decode = time.Since(start)
	result, err := detector.Detect(ctx, picture, queries, b.plan.Params)
	if err != nil {
		return t, exit.NotOpened(ctx, err)
	}
	t.detected, t.crops = result.Timings, len(result.Proposals)*b.views()
	if b.flags.pictures {
		drawn := time.Now()
		if err := drawing.DrawNow("alone", picture, result); err != nil {
			return t, exit.Inputs(fmt.Errorf("draw pictures: %w", err))
		}
		t.draw = time.Since(drawn)
	}
	t.whole = time.Since(start)
	rpn := detector.Info().RPN.Manifest
	t.resized = rpn.ResizedArea(result.Height, result.Width)
	return t, nil
}

// views returns the number of crops of each proposal.
func (b *bench) views() int { return max(1, len(b.plan.Options.Crops)) }

// words returns the number of tokens in all phrases that the text tower encodes, without
// padding.
func (b *bench) words() (tokens int, err error) {
	phrases := map[string]bool{}
	add := func(list []string) {
		for _, phrase := range list {
			phrases[phrase] = true
		}
	}
	options := b.plan.Options
	add(options.Background)
	if options.SubtractEmpty {
		empty, err := prompt.Fill("", options.Templates)
		if err != nil {
			return 0, err
		}
		add(empty)
	}
	for _, query := range b.plan.Queries {
		own, err := query.Phrasings(options.Templates)
		if err != nil {
			return 0, err
		}
		add(own)
		add(query.Negatives)
	}
	for phrase := range phrases {
		ids, err := prompt.Tokens(phrase)
		if err != nil {
			return 0, err
		}
		for len(ids) > 0 && ids[len(ids)-1] == 0 {
			ids = ids[:len(ids)-1]
		}
		tokens += len(ids)
	}
	return tokens, nil
}

// atLeast is the least time for which each batch size is measured, and the time for which
// each peak is measured.
const atLeast = 500 * time.Millisecond

// measureEncoder measures only CLIP's image tower, for each batch size.
func (b *bench) measureEncoder(ctx context.Context) error {
	sizes, err := b.flags.batches()
	if err != nil {
		return err
	}
	detector, err := detect.Open(ctx, b.plan.Options)
	if err != nil {
		return exit.NotOpened(ctx, err)
	}
	defer detector.Close()
	for _, size := range sizes {
		if _, err := detector.EncodeTime(ctx, size); err != nil { // warm-up
			return exit.NotOpened(ctx, err)
		}
		var rates []float64
		for start := time.Now(); len(rates) < b.flags.rounds || time.Since(start) < atLeast; {
			took, err := detector.EncodeTime(ctx, size)
			if err != nil {
				return exit.NotOpened(ctx, err)
			}
			rates = append(rates, float64(size)/took.Seconds())
		}
		b.report.Batches = append(b.report.Batches, batchRate{Size: size, Crops: spreadOf(rates)})
	}
	return nil
}

// measurePeaks measures the peak for each type of weights and keeps the best one so far.
// It is called between the other parts. Otherwise a model could exceed a peak that was
// measured while another program was busy.
func (b *bench) measurePeaks(ctx context.Context) error {
	names := map[string]bool{}
	for _, file := range b.report.files.all() {
		names[file.Manifest.DType] = true
	}
	for name := range names {
		rate, n, err := device.PeakRate(ctx, b.device, name, b.plan.Options.Threads, atLeast)
		if err != nil {
			return exit.NotOpened(ctx, err)
		}
		b.report.Peaks[name] = peak{max(rate, b.report.Peaks[name].Rate), int64(n)}
	}
	return nil
}
