package overlay

import (
	"image/color"
	"math"
)

// The colours of the weakest and the strongest proposal.
var (
	faint  = color.RGBA{R: 0x8b, G: 0x7b, B: 0xe0, A: 255}
	strong = color.RGBA{R: 0xff, G: 0xe0, B: 0x1a, A: 255}
)

// groups are the colours of the first groups. They are from Okabe and Ito, "Color
// Universal Design", whose colours the colour-blind can tell apart, without black. Green
// and blue are lighter, so that they show on dark pictures.
// https://jfly.uni-koeln.de/color/
var groups = []color.RGBA{
	{R: 0xe6, G: 0x9f, B: 0x00, A: 255}, // orange
	{R: 0x56, G: 0xb4, B: 0xe9, A: 255}, // sky blue
	{R: 0x0c, G: 0xb8, B: 0x88, A: 255}, // bluish green
	{R: 0xf0, G: 0xe4, B: 0x42, A: 255}, // yellow
	{R: 0xcc, G: 0x79, B: 0xa7, A: 255}, // reddish purple
	{R: 0xd5, G: 0x5e, B: 0x00, A: 255}, // vermilion
	{R: 0x1f, G: 0x86, B: 0xd8, A: 255}, // blue
}

// groupColour returns the colour of a group. Beyond the named colours, each hue is a
// golden ratio from the one before, which keeps neighbours apart however many there are.
// They have three lightnesses.
func groupColour(group int) color.RGBA {
	n := int(uint(group) % (1 << 20))
	if n < len(groups) {
		return groups[n]
	}
	_, hue := math.Modf(float64(n) * (math.Sqrt(5) - 1) / 2)
	lightness := []float64{0.75, 0.5, 0.62}[n%3]
	return fromHSL(hue, 0.8, lightness)
}

func fromHSL(hue, saturation, lightness float64) color.RGBA {
	channel := func(n float64) uint8 {
		k := math.Mod(n+12*hue, 12)
		a := saturation * min(lightness, 1-lightness)
		return uint8(math.Round(255 * (lightness - a*max(-1, min(k-3, 9-k, 1)))))
	}
	return color.RGBA{R: channel(0), G: channel(8), B: channel(4), A: 255}
}

// mix returns the colour between a, at t = 0, and b, at t = 1.
func mix(a, b color.RGBA, t float64) color.RGBA {
	m := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + t*(float64(b)-float64(a)))) }
	return color.RGBA{R: m(a.R, b.R), G: m(a.G, b.G), B: m(a.B, b.B), A: 255}
}

// luminance returns WCAG's relative luminance, 0 to 1.
// https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
func luminance(c color.RGBA) float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
}

// contrast returns WCAG's contrast ratio of two colours, 1 to 21.
func contrast(a, b color.RGBA) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// ink returns black or white, the one that is easier to read on a colour.
func ink(on color.RGBA) color.RGBA {
	black, white := color.RGBA{A: 255}, color.RGBA{R: 255, G: 255, B: 255, A: 255}
	if contrast(on, black) >= contrast(on, white) {
		return black
	}
	return white
}
