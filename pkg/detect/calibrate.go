package detect

import (
	"fmt"
	"slices"

	"github.com/clipdet/clipdet/pkg/calibration"
)

// Scoring says what the scores of queries depend on under params, for the thresholds of
// a calibration: [calibration.New] takes it with the Scores of Result.Presence in
// pictures without the queries, and Calibration.For gives Params.Thresholds for it.
// It fails as Match does for queries and params that can't be used.
func (d *Detector) Scoring(queries *Queries, params Params) (calibration.Scoring, error) {
	params, err := params.withDefaults()
	if err != nil {
		return calibration.Scoring{}, fmt.Errorf("detect: %w", err)
	}
	if queries == nil || queries.detector != d {
		return calibration.Scoring{}, fmt.Errorf("detect: %w: they are of another detector", ErrQuery)
	}
	s := calibration.Scoring{
		Models: calibration.Models{
			RPN: d.files.RPN.Manifest.Digest, Image: d.files.Image.Manifest.Digest, Text: d.files.Text.Manifest.Digest,
		},
		Rank:          string(params.Rank),
		Proposals:     d.options.Proposals,
		Templates:     append([]string{}, d.options.Templates...),
		Background:    append([]string{}, d.options.Background...),
		SubtractEmpty: d.options.SubtractEmpty,
		Queries:       append([]calibration.Query{}, queries.entries...),
	}
	for i, q := range s.Queries {
		s.Queries[i].Parts = slices.Clone(q.Parts)
	}
	for _, crop := range d.options.Crops {
		s.Crops = append(s.Crops, calibration.Crop{Mode: string(crop.Mode), Context: crop.Context})
	}
	return s, nil
}
