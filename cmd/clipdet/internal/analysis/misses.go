package analysis

import (
	"fmt"

	"github.com/clipdet/clipdet/pkg/eval"
)

// Cause is why no detection matches an annotation, judged by the proposals that
// detections are chosen from.
type Cause string

const (
	// ByProposal means that no proposal covers the annotation at IoU 0.5 or more.
	ByProposal Cause = "proposal"
	// ByLocalisation means that a proposal covers it, but the detection reported for it
	// overlaps it less.
	ByLocalisation Cause = "localisation"
	// ByClassification means that a proposal covers it, but it was reported as another
	// category.
	ByClassification Cause = "classification"
	// ByRank means that a proposal covers it, but is not among the reported detections.
	ByRank Cause = "rank"
)

// Misses counts the annotations without a match by their cause.
type Misses struct {
	ByProposal       int `json:"proposal"`
	ByRank           int `json:"rank"`
	ByLocalisation   int `json:"localisation"`
	ByClassification int `json:"classification"`
}

func misses(images []ImageVerdicts) *Misses {
	m := new(Misses)
	for i := range images {
		for _, v := range images[i].Annotations {
			switch v.Cause {
			case ByProposal:
				m.ByProposal++
			case ByRank:
				m.ByRank++
			case ByLocalisation:
				m.ByLocalisation++
			case ByClassification:
				m.ByClassification++
			}
		}
	}
	return m
}

// coverage is the proposals by image id, or nil if they aren't known.
type coverage map[int64][]eval.BBox

func newCoverage(d *eval.Dataset, proposals []eval.Result) (coverage, error) {
	if proposals == nil {
		return nil, nil
	}
	images := make(map[int64]bool)
	for _, image := range d.Images {
		images[image.ID] = true
	}
	c := make(coverage)
	for i := range proposals {
		if id := proposals[i].ImageID; !images[id] {
			return nil, fmt.Errorf("proposal %d: %w: no image has the image_id %d", i, eval.ErrUnknown, id)
		}
		c[proposals[i].ImageID] = append(c[proposals[i].ImageID], proposals[i].BBox)
	}
	return c, nil
}

// cause returns why an annotation of some kind has no match, or "" if it has one or is
// ignored. Without a proposal nothing later could have found it, so ByProposal is tested
// first.
func (c coverage) cause(kind Kind, imageID int64, b eval.BBox) Cause {
	if c == nil || kind == Correct || kind == Ignored {
		return ""
	}
	covered := false
	for _, p := range c[imageID] {
		covered = covered || p.IoU(b, false) >= foreground
	}
	switch {
	case !covered:
		return ByProposal
	case kind == Localisation:
		return ByLocalisation
	case kind == Classification:
		return ByClassification
	}
	return ByRank
}
