package bench

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
)

// makePictures writes n pictures into dir. They are the same each time: coloured shapes
// of many sizes on a noisy gradient. The shapes are for the proposals, and the noise is
// for the JPEG decoder.
func makePictures(dir string, n, width, height int) ([]intake.Input, error) {
	var made []intake.Input
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("made-%d.jpg", i+1))
		file, err := os.Create(path)
		if err != nil {
			return nil, err
		}
		err = jpeg.Encode(file, makePicture(uint64(i), width, height), &jpeg.Options{Quality: 90})
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return nil, err
		}
		made = append(made, intake.Input{Path: path})
	}
	return made, nil
}

func makePicture(seed uint64, width, height int) image.Image {
	random := rand.New(rand.NewPCG(seed, 1))
	colour := func() color.RGBA {
		return color.RGBA{uint8(random.IntN(256)), uint8(random.IntN(256)), uint8(random.IntN(256)), 255}
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			noise := random.IntN(24)
			img.SetRGBA(x, y, color.RGBA{uint8(90 + 80*x/width + noise), uint8(90 + 80*y/height + noise), uint8(120 + noise), 255})
		}
	}
	side := min(width, height)
	for range 24 {
		w, h := 1+side/20+random.IntN(1+side/3), 1+side/20+random.IntN(1+side/3)
		at := image.Rect(0, 0, w, h).Add(image.Pt(random.IntN(width), random.IntN(height)))
		if random.IntN(2) == 0 {
			draw.Draw(img, at, image.NewUniform(colour()), image.Point{}, draw.Src)
		} else {
			draw.DrawMask(img, at, image.NewUniform(colour()), image.Point{}, ellipse(at.Sub(at.Min)), image.Point{}, draw.Over)
		}
	}
	return img
}

// ellipse is a mask of the ellipse that fills the rectangle. Its Min must be 0, 0.
type ellipse image.Rectangle

func (e ellipse) ColorModel() color.Model { return color.AlphaModel }

func (e ellipse) Bounds() image.Rectangle { return image.Rectangle(e) }

func (e ellipse) At(x, y int) color.Color {
	a, b := float64(e.Max.X)/2, float64(e.Max.Y)/2
	u, v := (float64(x)+0.5-a)/a, (float64(y)+0.5-b)/b
	if u*u+v*v > 1 {
		return color.Alpha{}
	}
	return color.Alpha{A: 255}
}
