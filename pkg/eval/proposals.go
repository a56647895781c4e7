package eval

import (
	"fmt"
	"slices"
)

// ProposalRecall says how much of the ground truth proposals cover, of any category.
type ProposalRecall struct {
	// Limit is how many proposals per image were allowed, the best by score.
	Limit int `json:"limit"`
	// AR is the recall's mean over the IoU thresholds, ARs, ARm and ARl that of
	// small, medium and large objects, Recall50 that at IoU 0.50. Each is -1
	// where there is no ground truth.
	AR       float64 `json:"AR"`
	ARs      float64 `json:"ARs"`
	ARm      float64 `json:"ARm"`
	ARl      float64 `json:"ARl"`
	Recall50 float64 `json:"recall50"`
}

// EvaluateProposals is the recall of pycocotools' COCOeval with useCats=0, for
// each limit of proposals per image in ascending order; without limits, 100,
// 300 and 1000. It doesn't tell federated data sets from others.
//
// The proposals' CategoryID is of no account, except that pycocotools sorts
// equal scores by it; it needn't be of the data set. The errors are those of
// Evaluate, and ErrNumber for a limit below 1.
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

// proposal is what newEvaluator's errors call one.
const proposal = "proposal"
