package eval

import (
	"fmt"
	"slices"
)

// ProposalRecall is the share of the ground truth, of all categories, that proposals
// cover.
type ProposalRecall struct {
	// Limit is the number of proposals per image that count, the best by score.
	Limit int `json:"limit"`
	// AR is the mean recall over the IoU thresholds. ARs, ARm and ARl are the same for
	// small, medium and large objects. Recall50 is the recall at IoU 0.50. Each is -1 if
	// there is no ground truth.
	AR       float64 `json:"AR"`
	ARs      float64 `json:"ARs"`
	ARm      float64 `json:"ARm"`
	ARl      float64 `json:"ARl"`
	Recall50 float64 `json:"recall50"`
}

// EvaluateProposals returns the recall of pycocotools' COCOeval with useCats=0, for each
// limit of proposals per image, in ascending order. The default limits are 100, 300 and
// 1000. Federated data sets are treated like others.
//
// The CategoryID of a proposal may be any number. It only orders equal scores, as in
// pycocotools. EvaluateProposals fails with the errors of Evaluate, and with ErrNumber
// for a limit below 1.
func EvaluateProposals(d *Dataset, proposals []Result, limits ...int) ([]ProposalRecall, error) {
	if len(limits) == 0 {
		limits = []int{100, 300, 1000}
	}
	limits = slices.Clone(limits)
	slices.Sort(limits)
	if limits[0] < 1 {
		return nil, fmt.Errorf("%w: a limit of %d proposals", ErrNumber, limits[0])
	}
	e, err := newEvaluator(d, proposals, proposal)
	if err != nil {
		return nil, err
	}
	e.limits = limits
	a := e.each([]group{{all(len(d.Annotations)), all(len(proposals))}})[0]
	recalls := make([]ProposalRecall, len(limits))
	for k, limit := range limits {
		recalls[k] = ProposalRecall{
			Limit: limit, AR: meanOf(a.recall[allAreas][k][:]), ARs: meanOf(a.recall[smallAreas][k][:]),
			ARm: meanOf(a.recall[mediumAreas][k][:]), ARl: meanOf(a.recall[largeAreas][k][:]),
			Recall50: a.recall[allAreas][k][half],
		}
	}
	return recalls, nil
}

// proposal is the name of a proposal in errors.
const proposal = "proposal"
