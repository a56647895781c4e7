package outcome

import (
	"fmt"
	"image"
	"image/draw"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/overlay"
)

// cropsFolder holds the crops, with a folder for each query, as tools for classification
// take pictures.
const cropsFolder = "crops"

// NewCrops returns a Pictures that writes what is found into dir/crops, and with drawings
// the three pictures of each input too.
func NewCrops(dir string, labels []string, drawings bool, fonts ...*overlay.Font) *Pictures {
	p := NewPictures(dir, labels, fonts...)
	p.draws, p.crops = drawings, true
	taken := map[string]bool{}
	for _, label := range labels {
		folder := folderName(label)
		for i := 2; taken[strings.ToLower(folder)]; i++ {
			folder = fmt.Sprintf("%s-%d", folderName(label), i)
		}
		taken[strings.ToLower(folder)] = true
		p.folder = append(p.folder, folder)
	}
	return p
}

// folderName returns a query's name without what a folder's name may not have, or what
// means something else to a program.
func folderName(label string) string {
	name := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune(" -_", r) {
			return r
		}
		return '_'
	}, strings.ToValidUTF8(label, "_"))
	const most = 100 // bytes
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "")
	}
	if name = strings.Trim(name, " -"); name == "" {
		return "_"
	}
	return name
}

// cut writes the pixels of each detection as crops/QUERY/NAME.N.png, where N is its place
// among the picture's detections from 1. The edges are rounded outward, as CLIP saw them.
func (p *Pictures) cut(name string, picture image.Image, detections []detect.Detection) error {
	for i, d := range detections {
		folder := filepath.Join(cropsFolder, p.folder[slices.Index(p.labels, d.Query)])
		if err := os.MkdirAll(filepath.Join(p.dir, folder), 0o755); err != nil {
			return fmt.Errorf("write crops: %w", err)
		}
		at := pixelsOf(d.Box).Intersect(picture.Bounds())
		crop := image.NewRGBA(image.Rect(0, 0, at.Dx(), at.Dy()))
		draw.Draw(crop, crop.Rect, picture, at.Min, draw.Src)
		if err := p.save(filepath.Join(folder, fmt.Sprintf("%s.%d.png", name, i+1)), crop); err != nil {
			return err
		}
	}
	return nil
}

// pixelsOf returns the pixels that a box touches, at least one.
func pixelsOf(b box.Box) image.Rectangle {
	at := b.Outward()
	at.Max.X, at.Max.Y = max(at.Max.X, at.Min.X+1), max(at.Max.Y, at.Min.Y+1)
	return at
}
