package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// The sizes of the plot, in pixels if it isn't scaled, and its colours.
const (
	plotWidth, plotHeight    = 760, 440
	plotLeft, plotRight      = 84, 736
	plotTop, plotBottom      = 100, 352
	plotInk, plotFaint       = "#1f2933", "#66727f"
	plotGrid, plotBar        = "#e3e7eb", "#9db4d6"
	plotLine, plotBackground = "#2457a6", "#ffffff"
)

// plot draws crops/s by batch size as an SVG: the median as a point, and the range as a
// bar.
func (r *Report) plot(w io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	text := func(x, y float64, size int, colour, anchor, s string) {
		line(`<text x="%.1f" y="%.1f" font-size="%d" fill="%s" text-anchor="%s">%s</text>`, x, y, size, colour, anchor, html.EscapeString(s))
	}
	batches := slices.SortedFunc(slices.Values(r.Batches), func(a, b batchRate) int { return a.Size - b.Size })
	most := 0.0
	for _, batch := range batches {
		most = max(most, batch.Crops.Max)
	}
	step := tick(most)
	top := step * math.Ceil(most*1.08/step)
	y := func(v float64) float64 { return plotBottom - v/top*(plotBottom-plotTop) }
	// The x axis is logarithmic: a step to the right doubles the size.
	low, high := math.Log2(float64(batches[0].Size)), math.Log2(float64(batches[len(batches)-1].Size))
	const margin = 44
	x := func(size int) float64 {
		if high == low {
			return (plotLeft + plotRight) / 2
		}
		return plotLeft + margin + (math.Log2(float64(size))-low)/(high-low)*(plotRight-plotLeft-2*margin)
	}

	image := r.files.Image.Manifest
	title := "Crops a second by batch size"
	line(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" role="img" aria-label="%s">`,
		plotWidth, plotHeight, title)
	line(`<rect width="%d" height="%d" fill="%s"/>`, plotWidth, plotHeight, plotBackground)
	text(plotLeft, 36, 20, plotInk, "start", title)
	text(plotLeft, 60, 13, plotFaint, "start", fmt.Sprintf("CLIP's image tower: %s in %s, on %s", image.Architecture, image.DType, r.Machine.where()))
	for v := 0.0; v <= top+step/2; v += step {
		line(`<line x1="%d" y1="%.1f" x2="%d" y2="%[2]f" stroke="%[4]s"/>`, plotLeft, y(v), plotRight, plotGrid)
		text(plotLeft-10, y(v)+4, 12, plotFaint, "end", plotNumber(v))
	}
	line(`<line x1="%d" y1="%d" x2="%d" y2="%[2]d" stroke="%[4]s"/>`, plotLeft, plotBottom, plotRight, plotFaint)
	text(plotLeft-10, 86, 12, plotFaint, "end", "crops/s")

	var points []string
	for _, batch := range batches {
		at := x(batch.Size)
		points = append(points, fmt.Sprintf("%.1f,%.1f", at, y(batch.Crops.Median)))
		line(`<line x1="%.1f" y1="%.1f" x2="%[1]f" y2="%.1[3]f" stroke="%s" stroke-width="5" stroke-linecap="round"/>`,
			at, y(batch.Crops.Min), y(batch.Crops.Max), plotBar)
	}
	line(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2" stroke-linejoin="round"/>`, strings.Join(points, " "), plotLine)
	for _, batch := range batches {
		at := x(batch.Size)
		line(`<circle cx="%.1f" cy="%.1f" r="4.5" fill="%s" stroke="%s" stroke-width="1.5"/>`, at, y(batch.Crops.Median), plotLine, plotBackground)
		text(at, y(batch.Crops.Max)-11, 12, plotInk, "middle", plotNumber(batch.Crops.Median))
		text(at, plotBottom+20, 12, plotInk, "middle", fmt.Sprint(batch.Size))
		if batch.Utilisation > 0 {
			text(at, plotBottom+37, 11, plotFaint, "middle", fmt.Sprintf("%.0f%%", 100*batch.Utilisation))
		}
	}
	text(plotLeft-10, plotBottom+20, 12, plotFaint, "end", "batch")
	if batches[0].Utilisation > 0 {
		text(plotLeft-10, plotBottom+37, 11, plotFaint, "end", "of peak")
	}
	note := "Points are medians and bars all measurements."
	if p, ok := r.Peaks[image.DType]; ok {
		note += fmt.Sprintf(" The peak is %s GFLOP/s, of a product of two %d x %d matrices in %s.", plotNumber(p.Rate/1e9), p.Matrix, p.Matrix, image.DType)
	}
	text(plotLeft, plotHeight-20, 11, plotFaint, "start", note)
	line(`</svg>`)
	_, err := io.WriteString(w, b.String())
	return err
}

// where returns the name of the measured device for people.
func (m machine) where() string {
	if m.GPU != nil {
		return m.GPU.Name
	}
	return fmt.Sprintf("%s (CPU, %d threads)", m.CPU, m.Threads)
}

// tick returns a round step. Four to eight steps reach most.
func tick(most float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(max(most, 1e-9)/4)))
	for _, factor := range []float64{1, 2, 5} {
		if most/(step*factor) <= 8 {
			return step * factor
		}
	}
	return 10 * step
}

// plotNumber formats a number with three significant digits and a comma between
// thousands.
func plotNumber(v float64) string {
	whole, part, _ := strings.Cut(digits(v), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	part = strings.TrimRight(part, "0")
	if part == "" {
		return whole
	}
	return whole + "." + part
}
