package archive

import "math"

// FLOPsPerUnit returns the operations of forward for a pixel of the resized picture, a
// crop or a token, according to the inputs of the known answer. It is 0 if they were not
// counted.
func (m Manifest) FLOPsPerUnit() float64 {
	units := 0.0
	switch inputs := m.KnownAnswer.Inputs; m.Kind {
	case RPN:
		for _, size := range inputs[1].Literal {
			units += m.ResizedArea(int(size[0]), int(size[1]))
		}
	case CLIPImage:
		units = float64(inputs[0].Shape[0])
	case CLIPText:
		units = float64(inputs[0].Shape[0] * inputs[0].Shape[1])
	}
	if units == 0 { // another exporter may have no literal sizes
		return 0
	}
	return float64(m.FLOPs) / units
}

// ResizedArea returns the number of pixels that a proposal network works on. The short
// side is resized to MinSize, unless the long side would be more than MaxSize.
func (m Manifest) ResizedArea(height, width int) float64 {
	h, w := float64(height), float64(width)
	scale := min(float64(m.MinSize)/min(h, w), float64(m.MaxSize)/max(h, w))
	return math.Floor(h*scale) * math.Floor(w*scale)
}
