package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/console"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/version"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
)

// Report is the JSON of bench, and the source of its table and plot. Times are in ms, and
// rates are per second.
type Report struct {
	Machine     machine           `json:"machine"`
	NotMeasured []string          `json:"not_measured"` // in words
	Versions    map[string]string `json:"versions"`
	Flags       map[string]string `json:"flags"`
	Models      []modelInfo       `json:"models"`
	DType       dtypeChoice       `json:"dtype"`
	Workload    workload          `json:"workload"`
	LoadMS      float64           `json:"load_ms"` // models onto the device
	Throughput  throughput        `json:"throughput"`
	Rounds      shares            `json:"rounds"`
	// Device is what a picture of the rounds took of the device.
	Device deviceWork `json:"device_work"`
	// Stages are of pictures one at a time, in order. Their means add up to Alone.
	Stages []stage `json:"stages"`
	// Alone is from file to drawn pictures, one picture at a time.
	Alone      times           `json:"alone"`
	Text       Spread          `json:"text_ms"` // all phrases
	Operations operations      `json:"operations"`
	Peaks      map[string]peak `json:"peaks"` // by type of weights
	Batches    []batchRate     `json:"batches"`
	Memory     struct {
		Host   hostUse    `json:"host"`
		Device *deviceUse `json:"device"` // nil: the CPU
	} `json:"memory"`

	files   modelFiles
	words   int // tokens of all phrases
	samples []stageTimes
}

type modelInfo struct {
	Kind         model.Kind `json:"kind"`
	Architecture string     `json:"architecture"`
	DType        string     `json:"dtype"`
	Weights      string     `json:"weights"`
	Digest       string     `json:"digest"`
	FLOPs        int64      `json:"flops"` // 0: not counted by the export
}

// dtypeChoice is the type of weights of the image tower and why it was taken.
type dtypeChoice struct {
	Taken string `json:"taken"`
	Why   string `json:"why"`
	// Float32 and BFloat16 are ms per crop, or 0 if they weren't measured for the choice.
	Float32  float64 `json:"float32_ms"`
	BFloat16 float64 `json:"bfloat16_ms"`
}

type workload struct {
	Pictures   int     `json:"pictures"`  // of one round
	Different  int     `json:"different"` // distinct ones among them
	Made       string  `json:"made"`      // their size; "": they were given
	Megapixels float64 `json:"megapixels"`
	Proposals  float64 `json:"proposals"` // mean per picture
	Queries    int     `json:"queries"`
	Phrases    int     `json:"phrases"` // distinct, of queries and background
}

type throughput struct {
	Images  Spread `json:"images_per_s"`
	Crops   Spread `json:"crops_per_s"`
	Phrases Spread `json:"phrases_per_s"` // text only, not in the rounds
}

// shares are shares of the wall time of a round, in which reading and drawing overlap
// with the other parts. Work of a GPU counts for the stage that waits for it.
type shares struct {
	Modules Spread `json:"module_share"` // the forwards of rpn and clip-image
	Crop    Spread `json:"crop_share"`
}

// Spread is the values of several rounds.
type Spread struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"`
}

func spreadOf(values []float64) Spread {
	s := Spread{Values: values}
	if len(values) > 0 {
		s.Median, s.Min, s.Max = quantile(values, 0.5), slices.Min(values), slices.Max(values)
	}
	return s
}

// times are statistics over many pictures.
type times struct {
	Mean   float64 `json:"mean_ms"`
	Median float64 `json:"median_ms"`
	P90    float64 `json:"p90_ms"`
	P99    float64 `json:"p99_ms"`
}

type stage struct {
	Name string `json:"stage"`
	times
	Share float64 `json:"share"` // share of the whole mean time
}

// operations compares the work of the models with the peak. A Work is nil if an export
// didn't count its operations.
type operations struct {
	RPN    *Work `json:"rpn"`    // by the time of the stage rpn
	Encode *Work `json:"encode"` // by the time of the stage encode
	Text   *Work `json:"text"`   // by the time of all phrases
	Rounds *Work `json:"rounds"` // rpn and encode, by the time of the rounds
}

// Work is the work of a model and its rate compared with the peak. Utilisation is the
// time that the work would take at the peak of its type, divided by the time that it
// took.
type Work struct {
	FLOPs       float64 `json:"flops"`         // per picture, or of all phrases
	Rate        float64 `json:"flops_per_s"`   // reached
	Utilisation float64 `json:"utilisation"`   // share of the peak; TF32 may pass 1
	Of          string  `json:"peak_of_dtype"` // types of the peak, with commas
}

type peak struct {
	Rate   float64 `json:"flops_per_s"`
	Matrix int64   `json:"matrix"` // rows and columns of each factor
}

type batchRate struct {
	Size        int     `json:"size"`
	Crops       Spread  `json:"crops_per_s"`
	Utilisation float64 `json:"utilisation"` // 0: unknown
}

type hostUse struct {
	Peak   int64 `json:"peak_bytes"`
	Growth int64 `json:"growth_bytes"` // end of warm-up to end of rounds
}

type deviceUse struct {
	Peak int64 `json:"peak_bytes"`
}

// deviceWork is in numbers a picture. A download waits for the device.
type deviceWork struct {
	Operations float64 `json:"operations"`
	Uploads    float64 `json:"uploads"`
	Downloads  float64 `json:"downloads"`
}

type modelFiles struct{ RPN, Image, Text model.File }

func (f modelFiles) all() []model.File { return []model.File{f.RPN, f.Image, f.Text} }

// describe sets what is known before anything is measured.
func (r *Report) describe(cmd *cobra.Command, on string, p settings.Plan) {
	r.Machine = thisMachine(on, p.Options.Threads)
	r.NotMeasured, r.Peaks, r.Batches = []string{}, map[string]peak{}, []batchRate{}
	if on == "cpu" {
		r.NotMeasured = append(r.NotMeasured, "Nothing was run on a GPU: all figures are of the CPU, and say nothing of GPUs.")
	}
	r.Versions = map[string]string{
		"clipdet": version.Clipdet(), "go": runtime.Version(), "gotch": version.Gotch(), "libtorch": version.Libtorch(),
	}
	r.Flags = map[string]string{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			r.Flags[f.Name] = f.Value.String()
		}
	})
}

func (r *Report) models(info detect.Info) {
	r.files = modelFiles{info.RPN, info.Image, info.Text}
	r.DType = dtypeChoice{info.DType.Type, info.DType.Why, ms(info.DType.Float32), ms(info.DType.BFloat16)}
	for _, file := range r.files.all() {
		m := file.Manifest
		r.Models = append(r.Models, modelInfo{m.Kind, m.Architecture, m.DType, m.Weights.Name, m.Digest, m.FLOPs})
		if m.FLOPs == 0 {
			r.NotMeasured = append(r.NotMeasured, fmt.Sprintf("The export of %s counted no operations; export it again to compare with the peak.", m.Kind))
		}
	}
}

// addStages sets the times of the stages from the times of the pictures.
func (r *Report) addStages(samples []stageTimes) {
	r.samples = samples
	of := func(get func(stageTimes) time.Duration) times {
		var values []float64
		for _, s := range samples {
			values = append(values, ms(get(s)))
		}
		return timesOf(values)
	}
	r.Alone = of(func(t stageTimes) time.Duration { return t.whole })
	add := func(name string, get func(stageTimes) time.Duration) {
		t := of(get)
		r.Stages = append(r.Stages, stage{name, t, t.Mean / r.Alone.Mean})
	}
	add("decode", func(t stageTimes) time.Duration { return t.decode })
	for k := range (detect.Timings{}) {
		add(detect.Stage(k).String(), func(t stageTimes) time.Duration { return t.detected[k] })
	}
	add("draw", func(t stageTimes) time.Duration { return t.draw })
	add("other", stageTimes.other)
}

// other returns the time outside the stages: hand-overs, and conversions of pictures that
// aren't RGB.
func (t stageTimes) other() time.Duration {
	rest := t.whole - t.decode - t.draw
	for _, took := range t.detected {
		rest -= took
	}
	return rest
}

func timesOf(values []float64) times {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return times{sum / float64(len(values)), quantile(values, 0.5), quantile(values, 0.9), quantile(values, 0.99)}
}

// quantile interpolates linearly between the two nearest values.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low, part := math.Modf(at)
	v := sorted[int(low)]
	if part > 0 {
		v += part * (sorted[int(low)+1] - v)
	}
	return v
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// utilise compares the work with the peaks.
func (r *Report) utilise() {
	var pixels, crops, rpnSeconds, encodeSeconds float64
	for _, s := range r.samples {
		pixels += s.resized
		crops += float64(s.crops)
		rpnSeconds += s.detected[detect.StageRPN].Seconds()
		encodeSeconds += s.detected[detect.StageEncode].Seconds()
	}
	n := float64(len(r.samples))
	rpn, image, text := r.files.RPN.Manifest, r.files.Image.Manifest, r.files.Text.Manifest
	r.Operations = operations{
		RPN:    r.work(rpnSeconds/n, partOf(rpn, pixels/n)),
		Encode: r.work(encodeSeconds/n, partOf(image, crops/n)),
		Text:   r.work(r.Text.Median/1000, partOf(text, float64(r.words))),
		Rounds: r.work(1/r.Throughput.Images.Median, partOf(rpn, pixels/n), partOf(image, crops/n)),
	}
	for i, b := range r.Batches {
		if w := r.work(1/b.Crops.Median, partOf(image, 1)); w != nil {
			r.Batches[i].Utilisation = w.Utilisation
		}
	}
}

// part is work of one model.
type part struct {
	dtype   string  // of the weights
	perUnit float64 // operations
	units   float64
}

func partOf(m model.Manifest, units float64) part { return part{m.DType, m.FLOPsPerUnit(), units} }

func (r *Report) work(seconds float64, parts ...part) *Work {
	w := &Work{}
	ideal := 0.0
	for _, p := range parts {
		flops, rate := p.units*p.perUnit, r.Peaks[p.dtype].Rate
		if flops == 0 || rate == 0 || seconds == 0 {
			return nil
		}
		w.FLOPs += flops
		ideal += flops / rate
		if !strings.Contains(w.Of, p.dtype) {
			w.Of = strings.TrimPrefix(w.Of+","+p.dtype, ",")
		}
	}
	w.Rate, w.Utilisation = w.FLOPs/seconds, ideal/seconds
	return w
}

func (r *Report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

const mebi = 1 << 20

// table returns the report as text for people.
func (r *Report) table() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	m, w := r.Machine, r.Workload
	line("device     %s: %s, %d cores, %d threads, %.0f GiB", m.Device, m.CPU, m.Cores, m.Threads, float64(m.Memory)/(1<<30))
	if m.GPU != nil {
		line("gpu        %s, %.0f GiB", m.GPU.Name, float64(m.GPU.Memory)/(1<<30))
	}
	for _, note := range r.NotMeasured {
		line("note       %s", note)
	}
	line("versions   clipdet %s, %s, gotch %s, libtorch %s", r.Versions["clipdet"], r.Versions["go"], r.Versions["gotch"], r.Versions["libtorch"])
	for _, m := range r.Models {
		line("model      %s: %s in %s, digest %.12s", m.Kind, console.Printable(m.Architecture), m.DType, m.Digest)
	}
	line("dtype      %s: %s", r.DType.Taken, console.Printable(r.DType.Why))
	line("work       %d pictures a round%s, %.2f megapixels, %.0f proposals each; %d queries, %d phrases",
		w.Pictures, made(w), w.Megapixels, w.Proposals, w.Queries, w.Phrases)
	line("load       %.0f ms", r.LoadMS)

	line("\n%-12s %10s %10s %10s", "a second", "median", "least", "most")
	for _, row := range []struct {
		name string
		s    Spread
	}{{"images", r.Throughput.Images}, {"crops", r.Throughput.Crops}, {"phrases", r.Throughput.Phrases}} {
		if len(row.s.Values) > 0 {
			line("%-12s %10s %10s %10s", row.name, digits(row.s.Median), digits(row.s.Min), digits(row.s.Max))
		}
	}

	line("\n%-12s %10s %10s %10s %10s %7s", "ms a picture", "median", "p90", "p99", "mean", "share")
	for _, s := range r.Stages {
		line("%-12s %10s %10s %10s %10s %6.1f%%", s.Name, digits(s.Median), digits(s.P90), digits(s.P99), digits(s.Mean), 100*s.Share)
	}
	if len(r.Stages) > 0 {
		line("%-12s %10s %10s %10s %10s", "alone", digits(r.Alone.Median), digits(r.Alone.P90), digits(r.Alone.P99), digits(r.Alone.Mean))
	}
	line("%-12s %10s   %s", "in rounds", digits(1000/r.Throughput.Images.Median), fmt.Sprintf("reading, detection and drawing overlapped; %.0f%% in the models, %.0f%% cropping", 100*r.Rounds.Modules.Median, 100*r.Rounds.Crop.Median))
	line("%-12s %10s   of libtorch, where a call of a model is one; %s uploads, %s downloads", "operations", digits(r.Device.Operations), digits(r.Device.Uploads), digits(r.Device.Downloads))
	if len(r.Stages) > 0 {
		r.tableOperations(line)
	}

	if len(r.Batches) > 0 {
		line("\n%-12s %10s %10s %10s %10s", "batch", "crops/s", "least", "most", "of peak")
	}
	for _, batch := range r.Batches {
		share := "unknown"
		if batch.Utilisation > 0 {
			share = fmt.Sprintf("%.1f%%", 100*batch.Utilisation)
		}
		line("%-12d %10s %10s %10s %10s", batch.Size, digits(batch.Crops.Median), digits(batch.Crops.Min), digits(batch.Crops.Max), share)
	}

	host := r.Memory.Host
	line("\nmemory       host %d MiB at most; %+d MiB in the rounds", host.Peak/mebi, host.Growth/mebi)
	if d := r.Memory.Device; d != nil {
		line("             %s %d MiB", m.Device, d.Peak/mebi)
	}
	return b.String()
}

// tableOperations adds the part of the table that is measured stage by stage.
func (r *Report) tableOperations(line func(format string, args ...any)) {
	line("%-12s %10s %43s", "text", digits(r.Text.Median), "all phrases, once for all pictures")

	line("\n%-12s %10s %10s %10s", "operations", "GFLOP", "GFLOP/s", "of peak")
	for _, row := range []struct {
		name string
		w    *Work
	}{{"rpn", r.Operations.RPN}, {"encode", r.Operations.Encode}, {"in rounds", r.Operations.Rounds}, {"text", r.Operations.Text}} {
		if row.w == nil {
			line("%-12s %10s %10s %10s", row.name, "unknown", "", "")
			continue
		}
		line("%-12s %10s %10s %9.1f%%", row.name, digits(row.w.FLOPs/1e9), digits(row.w.Rate/1e9), 100*row.w.Utilisation)
	}
	for _, dtype := range []string{model.Float32, model.BFloat16, model.Float16, model.Int8} {
		if p, ok := r.Peaks[dtype]; ok {
			line("%-12s %10s %10s %10s  product of two %d x %d matrices in %s", "peak", "", digits(p.Rate/1e9), "", p.Matrix, p.Matrix, dtype)
		}
	}
}

func made(w workload) string {
	if w.Made == "" {
		return ""
	}
	return fmt.Sprintf(" (made ones of %s)", w.Made)
}

// digits formats a number with three significant digits and no exponent.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 99.95 || a == 0:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.9995:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}
