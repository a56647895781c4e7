package pixels

import (
	"image"

	"github.com/clipdet/clipdet/pkg/pixels/internal/jpeg"
)

// plane is a channel. It may have fewer samples than the picture has pixels.
type plane struct {
	jpeg.Plane
	left, top int     // pixels of the first samples outside the picture
	full      []uint8 // a row with a sample for each pixel
	sums      []int32
}

func newPlane(p jpeg.Plane, left, top int) *plane {
	return &plane{Plane: p, left: left, top: top, full: make([]uint8, p.Width*p.SpanX), sums: make([]int32, p.Width)}
}

// row returns the samples of the picture's row y, one for each pixel. They are valid
// until the next call. row upsamples as libjpeg does by default (do_fancy_upsampling in
// jdsample.c). Across a span of 2 it interpolates between neighbours, weighted 3 to 1 and
// rounded as in the functions named below. Across other spans it repeats samples. Go's
// own conversion always repeats, which is off by tens of levels at edges.
func (p *plane) row(y int) []uint8 {
	y += p.top
	at := y / p.SpanY
	near := p.samples(at)
	if p.SpanX == 1 && p.SpanY == 1 {
		return near[p.left:]
	}
	below := y % p.SpanY // 0 is the upper half, 1 the lower
	far := p.samples(min(max(at-1+2*below, 0), p.Height-1))
	smooth := p.SpanX == 2 && p.Width > 2
	switch {
	case smooth && p.SpanY == 2: // h2v2_fancy_upsample
		for i := range p.sums {
			p.sums[i] = 3*int32(near[i]) + int32(far[i])
		}
		last, before := p.Width-1, p.sums[0]
		for i, s := range p.sums {
			after := p.sums[min(i+1, last)]
			p.full[2*i] = uint8((3*s + before + 8) >> 4)
			p.full[2*i+1] = uint8((3*s + after + 7) >> 4)
			before = s
		}
	case smooth && p.SpanY == 1: // h2v1_fancy_upsample
		last, before := p.Width-1, int(near[0])
		for i, s := range near {
			s, after := int(s), int(near[min(i+1, last)])
			p.full[2*i] = uint8((3*s + before + 1) >> 2)
			p.full[2*i+1] = uint8((3*s + after + 2) >> 2)
			before = s
		}
	case p.SpanX == 1 && p.SpanY == 2: // h1v2_fancy_upsample
		for i, s := range near {
			p.full[i] = uint8((3*int(s) + int(far[i]) + 1 + below) >> 2)
		}
	default: // int_upsample
		for i := range p.full {
			p.full[i] = near[i/p.SpanX]
		}
	}
	return p.full[p.left:]
}

func (p *plane) samples(y int) []uint8 { return p.Pix[y*p.Stride:][:p.Width] }

// fromYCbCr converts an image.YCbCr as if it came from a JPEG.
func (m *RGB) fromYCbCr(img *image.YCbCr) {
	r := img.Rect
	if r.Min.X < 0 || r.Min.Y < 0 { // Go halves negative coordinates toward 0
		m.fromAny(img)
		return
	}
	spanX, spanY := 1, 1
	switch img.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		spanX = 2
	case image.YCbCrSubsampleRatio420:
		spanX, spanY = 2, 2
	case image.YCbCrSubsampleRatio440:
		spanY = 2
	case image.YCbCrSubsampleRatio411:
		spanX = 4
	case image.YCbCrSubsampleRatio410:
		spanX, spanY = 4, 2
	}
	left, top := r.Min.X%spanX, r.Min.Y%spanY
	chroma := jpeg.Plane{
		Stride: img.CStride, SpanX: spanX, SpanY: spanY,
		Width: (left + m.Width + spanX - 1) / spanX, Height: (top + m.Height + spanY - 1) / spanY,
	}
	cb, cr := chroma, chroma
	cb.Pix, cr.Pix = img.Cb, img.Cr
	luma := jpeg.Plane{Pix: img.Y, Stride: img.YStride, Width: m.Width, Height: m.Height, SpanX: 1, SpanY: 1}
	m.fromPlanes(jpeg.YCbCr, newPlane(luma, 0, 0), newPlane(cb, left, top), newPlane(cr, left, top))
}

func decodeJPEG(data []byte) (image.Image, error) {
	p, err := jpeg.Decode(data)
	if err != nil {
		return nil, err
	}
	planes := make([]*plane, len(p.Planes))
	for i := range planes {
		planes[i] = newPlane(p.Planes[i], 0, 0)
	}
	m := newRGB(p.Width, p.Height)
	m.fromPlanes(p.Colours, planes...)
	return m, nil
}

func jpegConfig(data []byte) (image.Config, error) {
	width, height, err := jpeg.Size(data)
	return sized(width, height), err
}

// fromPlanes upsamples the channels and converts them.
func (m *RGB) fromPlanes(colours jpeg.Colours, planes ...*plane) {
	var rows [4][]uint8
	for y := range m.Height {
		for i, p := range planes {
			rows[i] = p.row(y)[:m.Width]
		}
		to := m.row(y)
		switch colours {
		case jpeg.Grey:
			interleave(to, rows[0], rows[0], rows[0])
		case jpeg.RGB, jpeg.CMYK:
			interleave(to, rows[0], rows[1], rows[2])
		case jpeg.YCbCr, jpeg.YCCK:
			fromYCC(to, rows[0], rows[1], rows[2])
		}
		switch colours {
		case jpeg.CMYK:
			for i, left := range to {
				to[i] = under(255-left, rows[3][i/3])
			}
		case jpeg.YCCK:
			for i, ink := range to {
				to[i] = under(ink, rows[3][i/3])
			}
		}
	}
}

func interleave(to, r, g, b []uint8) {
	for x := range r {
		p := to[3*x:][:3]
		p[0], p[1], p[2] = r[x], g[x], b[x]
	}
}

// fromYCC converts a row with the fixed-point factors of libjpeg's jdcolor.c: 1.402,
// 0.34414, 0.71414 and 1.772 times 2^16.
func fromYCC(to, luma, cb, cr []uint8) {
	for x, y := range luma {
		y, b, r := int32(y), int32(cb[x])-128, int32(cr[x])-128
		p := to[3*x:][:3]
		p[0] = clamp8(y + (91881*r+1<<15)>>16)
		p[1] = clamp8(y + (-22554*b-46802*r+1<<15)>>16)
		p[2] = clamp8(y + (116130*b+1<<15)>>16)
	}
}

// under returns the value of white under an ink, rounded as in Pillow (cmyk2rgb in
// Convert.c).
func under(ink, white uint8) uint8 {
	product := int(ink)*int(white) + 128
	return white - uint8((product>>8+product)>>8)
}

func clamp8(v int32) uint8 {
	if uint32(v) > 255 {
		return uint8(^(v >> 31)) // 0 below the range, 255 above
	}
	return uint8(v)
}
