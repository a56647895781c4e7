package settings

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strconv"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/calibration"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/pixels"
)

// Calibration is a calibration and the path that it was read from.
type Calibration struct {
	calibration.Calibration
	path string
}

// ReadCalibration reads the file of --calibration.
func ReadCalibration(path string) (*Calibration, error) {
	file, err := files.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--calibration: %w", err)
	}
	defer file.Close()
	c, err := calibration.Read(file)
	if err != nil {
		return nil, fmt.Errorf("--calibration %s: %w", path, err)
	}
	return &Calibration{c, path}, nil
}

// Scoring returns everything that the plan's scores depend on except for the picture.
// models is the detector's Info. A calibration compares the result with its own Scoring.
func (p Plan) Scoring(models detect.Info) (calibration.Scoring, error) {
	s := calibration.Scoring{
		Models: calibration.Models{
			RPN: models.RPN.Manifest.Digest, Image: models.Image.Manifest.Digest, Text: models.Text.Manifest.Digest,
		},
		Rank:          string(p.Params.Rank),
		Proposals:     p.Options.Proposals,
		Templates:     append([]string{}, p.Options.Templates...),
		Background:    append([]string{}, p.Options.Background...),
		SubtractEmpty: p.Options.SubtractEmpty,
	}
	if p.Params.Scores == detect.ScoresEach {
		s.Scores = string(p.Params.Scores)
	}
	if p.Options.Alike != detect.DefaultAlike {
		s.Alike = p.Options.Alike
	}
	for _, crop := range p.Options.Crops {
		s.Crops = append(s.Crops, calibration.Crop{Mode: string(crop.Mode), Context: crop.Context})
	}
	for _, query := range p.Queries {
		parts, err := partsOf(query)
		if err != nil {
			return s, fmt.Errorf("query %q: %w", query.Name, err)
		}
		s.Queries = append(s.Queries, calibration.Query{Name: query.Name, Parts: parts})
	}
	return s, nil
}

// partsOf returns texts that identify the query's phrases, examples and negative phrases.
// A query with neither phrases nor examples uses the templates.
func partsOf(query detect.Query) (parts []string, err error) {
	add := func(text string, weight float32) {
		parts = append(parts, text+"::"+strconv.FormatFloat(float64(weight), 'g', -1, 32))
	}
	for i, phrase := range query.Phrases {
		weight := float32(1)
		if len(query.Weights) > 0 {
			weight = query.Weights[i]
		}
		add(phrase, weight)
	}
	for _, e := range query.Examples {
		picture, err := pixels.FromImage(e.Image)
		if err != nil {
			return nil, err
		}
		b := box.Box{X1: float32(picture.Width), Y1: float32(picture.Height)}
		if e.Box != nil {
			b = *e.Box
		}
		add(fmt.Sprintf("@sha256:%x#%v,%v,%v,%v", sha256.Sum256(picture.Pix), b.X0, b.Y0, b.X1, b.Y1), cmp.Or(e.Weight, 1))
	}
	for _, negative := range query.Negatives {
		parts = append(parts, "-"+negative)
	}
	return parts, nil
}
