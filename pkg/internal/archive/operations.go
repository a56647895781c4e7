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
			h, w := m.Resized(int(size[0]), int(size[1]))
			units += float64(h) * float64(w)
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

// Resized returns the size at which a proposal network works on a picture, in pixels. The
// short side is resized to MinSize, unless the long side would be more than MaxSize
// (torchscript/rpn.py). A side of less than one pixel is one.
func (m Manifest) Resized(height, width int) (h, w int) {
	short, long := float64(min(height, width)), float64(max(height, width))
	scale := min(float64(m.MinSize)/short, float64(m.MaxSize)/long)
	side := func(v int) int { return max(1, int(math.Floor(float64(v)*scale))) }
	return side(height), side(width)
}
