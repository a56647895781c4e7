package pixels

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"testing"
)

// hidden is an image of a type that FromImage has no case for.
type hidden struct{ image.Image }

func TestFromImagePixels(t *testing.T) {
	// Each image shows one pixel at the centre of a 3 x 3 picture that starts at (5, 6).
	// want is the RGB of that pixel.
	at := image.Rect(5, 6, 8, 9)
	set := func(img draw.Image, c color.Color) image.Image {
		img.Set(6, 7, c)
		return img
	}
	nrgba, rgba, nrgba64 := image.NewNRGBA(at), image.NewRGBA(at), image.NewNRGBA64(at)
	rgba.SetRGBA(6, 7, color.RGBA{R: 100, G: 50, B: 0, A: 200})
	opaque := image.NewRGBA(at)
	draw.Draw(opaque, at, image.NewUniform(color.White), image.Point{}, draw.Src)
	paletted := image.NewPaletted(at, color.Palette{color.NRGBA{R: 9, G: 8, B: 7, A: 0}, color.RGBA{R: 1, G: 2, B: 3, A: 255}})
	paletted.SetColorIndex(6, 7, 1)
	clear := image.NewPaletted(at, paletted.Palette)
	beyond := image.NewPaletted(at, paletted.Palette)
	beyond.SetColorIndex(6, 7, 200)
	ycbcr := image.NewYCbCr(at, image.YCbCrSubsampleRatio444)
	i, ci := ycbcr.YOffset(6, 7), ycbcr.COffset(6, 7)
	ycbcr.Y[i], ycbcr.Cb[ci], ycbcr.Cr[ci] = 100, 50, 220

	for _, test := range []struct {
		name string
		img  image.Image
		want [3]uint8
	}{
		{"NRGBA keeps the hidden colour", set(nrgba, color.NRGBA{R: 10, G: 20, B: 30, A: 0}), [3]uint8{10, 20, 30}},
		{"NRGBA64 keeps the hidden colour", set(nrgba64, color.NRGBA64{R: 0x10ff, G: 0x20ff, B: 0x3000, A: 0}), [3]uint8{0x10, 0x20, 0x30}},
		{"RGBA is divided by its alpha", rgba, [3]uint8{127, 63, 0}},
		{"opaque RGBA", set(opaque, color.RGBA{R: 3, G: 2, B: 1, A: 255}), [3]uint8{3, 2, 1}},
		{"RGBA64", set(image.NewRGBA64(at), color.RGBA64{R: 0x1234, G: 0x5678, B: 0x9abc, A: 0xffff}), [3]uint8{0x12, 0x56, 0x9a}},
		{"Gray", set(image.NewGray(at), color.Gray{Y: 77}), [3]uint8{77, 77, 77}},
		{"Gray16", set(image.NewGray16(at), color.Gray16{Y: 0x77ff}), [3]uint8{0x77, 0x77, 0x77}},
		{"Paletted", paletted, [3]uint8{1, 2, 3}},
		{"Paletted keeps the hidden colour", clear, [3]uint8{9, 8, 7}},
		{"Paletted without that colour", beyond, [3]uint8{0, 0, 0}},
		// 245 * 235 / 255 = 225.8, and so on.
		{"CMYK", set(image.NewCMYK(at), color.CMYK{C: 10, M: 20, Y: 255, K: 20}), [3]uint8{226, 217, 0}},
		// 100 + 1.402 * 92, 100 - 0.34414 * -78 - 0.71414 * 92, 100 + 1.772 * -78.
		{"YCbCr", ycbcr, [3]uint8{229, 61, 0}},
		{"NYCbCrA", &image.NYCbCrA{YCbCr: *ycbcr, A: make([]uint8, 9), AStride: 3}, [3]uint8{229, 61, 0}},
		{"a type of one's own", hidden{set(image.NewNRGBA(at), color.NRGBA{R: 10, G: 20, B: 30, A: 40})}, [3]uint8{10, 20, 30}},
	} {
		m, err := FromImage(test.img)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := [3]uint8(m.Pix[3*(1*3+1):]); m.Width != 3 || m.Height != 3 || got != test.want {
			t.Errorf("%s: %v in %d x %d pixels, want %v in 3 x 3", test.name, got, m.Width, m.Height, test.want)
		}
	}
}

// TestFromImageSubImages compares the pictures of parts with parts of the picture.
func TestFromImageSubImages(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fill := func(planes ...[]uint8) {
		for _, p := range planes {
			for i := range p {
				p[i] = uint8(random.Uint32())
			}
		}
	}
	whole := image.Rect(4, 2, 44, 38)
	gray, nrgba, nrgba64, cmyk := image.NewGray(whole), image.NewNRGBA(whole), image.NewNRGBA64(whole), image.NewCMYK(whole)
	paletted := image.NewPaletted(whole, color.Palette{color.White, color.Black})
	fill(gray.Pix, nrgba.Pix, nrgba64.Pix, cmyk.Pix, paletted.Pix)
	rgba := image.NewRGBA(whole)
	draw.Draw(rgba, whole, gray, whole.Min, draw.Src)
	images := []interface {
		image.Image
		SubImage(image.Rectangle) image.Image
	}{gray, nrgba, nrgba64, cmyk, paletted, rgba}
	for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
		m := image.NewYCbCr(whole, ratio)
		fill(m.Y, m.Cb, m.Cr)
		images = append(images, m)
	}
	for i, img := range images {
		name := fmt.Sprintf("image %d, %T", i, img)
		all, err := FromImage(img)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, part := range []image.Rectangle{whole, image.Rect(5, 3, 40, 31), image.Rect(8, 5, 24, 9), image.Rect(7, 6, 8, 7), image.Rect(43, 37, 44, 38)} {
			m, err := FromImage(img.SubImage(part))
			if err != nil {
				t.Errorf("%s: %v: %v", name, part, err)
				continue
			}
			if m.Width != part.Dx() || m.Height != part.Dy() {
				t.Errorf("%s: %v gives %d x %d pixels", name, part, m.Width, m.Height)
				continue
			}
			// Chroma is interpolated within the part, so its border may differ.
			border := 0
			if _, ok := img.(*image.YCbCr); ok && part != whole {
				border = 2
			}
			for y := border; y < m.Height-border; y++ {
				from, to := 3*(part.Min.X-whole.Min.X+border), 3*(part.Min.X-whole.Min.X+m.Width-border)
				got, want := m.row(y)[min(3*border, 3*m.Width):max(3*border, 3*(m.Width-border))], all.row(part.Min.Y - whole.Min.Y + y)[from:max(from, to)]
				if !bytes.Equal(got, want) {
					t.Errorf("%s: row %d of %v differs from the whole image's", name, y, part)
					break
				}
			}
		}
	}
}

func TestFromImageRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		img  image.Image
		want error
	}{
		{"nil", nil, ErrEmpty},
		{"a nil RGB", (*RGB)(nil), ErrEmpty},
		{"no pixels", image.NewGray(image.Rect(3, 3, 3, 9)), ErrEmpty},
		{"an RGB without pixels", &RGB{}, ErrEmpty},
		{"endless bounds", image.NewUniform(color.White), ErrTooLarge},
		{"bounds beyond int", &image.Gray{Rect: image.Rectangle{Min: image.Pt(math.MinInt, 0), Max: image.Pt(math.MaxInt, 1)}}, ErrTooLarge},
		{"an RGB with endless bounds", &RGB{Width: 1 << 40, Height: 1 << 40}, ErrTooLarge},
		{"an RGB with too few bytes", &RGB{Pix: make([]uint8, 11), Width: 2, Height: 2}, ErrBroken},
	} {
		if m, err := FromImage(test.img); !errors.Is(err, test.want) || m != nil {
			t.Errorf("%s: %v, %v; want %v", test.name, m, err, test.want)
		}
	}
}

func TestFromImageDoesNotCopyRGB(t *testing.T) {
	m := newRGB(2, 2)
	if got, err := FromImage(m); got != m || err != nil {
		t.Errorf("got %p, %v; want the picture itself, %p", got, err, m)
	}
}

// TestFromImageNegativeOrigin converts a YCbCr whose origin is negative.
func TestFromImageNegativeOrigin(t *testing.T) {
	img := image.NewYCbCr(image.Rect(-3, -5, 4, 4), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = uint8(i)
	}
	m, err := FromImage(img)
	if err != nil || m.Width != 7 || m.Height != 9 {
		t.Fatalf("%+v, %v; want 7 x 9 pixels", m, err)
	}
}

func TestRGBIsAnImage(t *testing.T) {
	m := newRGB(5, 4)
	for i := range m.Pix {
		m.Pix[i] = uint8(7 * i)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	back, err := Decode(&file, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "PNG and back", back, m)

	canvas := image.NewRGBA(image.Rect(0, 0, 7, 7))
	draw.Draw(canvas, canvas.Bounds(), m, image.Point{X: -1, Y: -2}, draw.Over)
	for y := range 7 {
		for x := range 7 {
			want := color.RGBA{}
			if 1 <= x && x < 6 && 2 <= y && y < 6 {
				p := m.Pix[3*((y-2)*5+x-1):]
				want = color.RGBA{R: p[0], G: p[1], B: p[2], A: 255}
			}
			if got := canvas.RGBAAt(x, y); got != want {
				t.Errorf("drawn at (%d, %d): %v, want %v", x, y, got, want)
			}
		}
	}
	for _, p := range []image.Point{{X: -1}, {Y: -1}, {X: 5}, {Y: 4}} {
		if c := m.At(p.X, p.Y); c != (color.RGBA{}) {
			t.Errorf("outside at %v: %v, want nothing", p, c)
		}
	}
}

// testPhoto returns a JPEG of a web photo's size, with smooth parts and texture.
func testPhoto(t testing.TB) []byte {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	img := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			noise := random.IntN(1 + x/16)
			img.SetRGBA(x, y, color.RGBA{R: uint8(x/4 + noise), G: uint8(y/3 + noise), B: uint8((x ^ y) / 8), A: 255})
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func BenchmarkDecodeJPEG640x480(b *testing.B) {
	data := testPhoto(b)
	b.SetBytes(640 * 480 * 3)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(bytes.NewReader(data), Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStandardDecodeJPEG640x480 measures Go's image/jpeg with FromImage, for
// comparison.
func BenchmarkStandardDecodeJPEG640x480(b *testing.B) {
	data := testPhoto(b)
	b.SetBytes(640 * 480 * 3)
	b.ReportAllocs()
	for b.Loop() {
		img, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := FromImage(img); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFromImage640x480(b *testing.B) {
	at := image.Rect(0, 0, 640, 480)
	for _, img := range []image.Image{image.NewNRGBA(at), image.NewYCbCr(at, image.YCbCrSubsampleRatio420), image.NewYCbCr(at, image.YCbCrSubsampleRatio444), image.NewPaletted(at, color.Palette{color.Black}), hidden{image.NewNRGBA(at)}} {
		b.Run(fmt.Sprintf("%T", img), func(b *testing.B) {
			b.SetBytes(640 * 480 * 3)
			for b.Loop() {
				if _, err := FromImage(img); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
