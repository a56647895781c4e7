// Package eval measures detections against ground truth in COCO's way: the AP and AR of
// pycocotools, the federated ones of LVIS, and the recall of proposals.
//
//	dataset, err := eval.ReadDatasetFile("instances_val2017.json", eval.Limits{})
//	results, err := eval.ReadResultsFile("results.json", eval.Limits{})
//	evaluation, err := eval.Evaluate(dataset, results)
//	fmt.Println(evaluation.Summary.AP50)
//
// # Units
//
// Boxes are COCO's [x, y, width, height] in float64, in pixels of the image as
// it is annotated; x and y are edges, so [0,0,1,1] is the top left pixel. Areas
// are square pixels. Metrics are fractions in [0,1], and -1 where there is no
// ground truth to measure with, as pycocotools has it; they are never NaN. IoU
// thresholds are 0.50, 0.55 to 0.95 and recall thresholds 0.00, 0.01 to 1.00.
//
// # Equal to pycocotools
//
// Evaluate follows pycocotools 2.0.11 (cocoeval.py) in every choice that shows
// in the numbers: float64 throughout, stable order among equal scores (images
// by id, then the order of the results), at most 100 detections per image and
// category, areas at a border counted on both sides of it, crowd regions
// matched by the share of the detection that they cover. Categories without
// ground truth don't count. It even agrees in that a match with the annotation
// whose id is 0 counts as none, because pycocotools marks "unmatched" with 0:
// number annotations from 1, see [Dataset.Warnings]. It differs only in what it
// refuses: ids that occur twice or are unknown, and boxes or scores that aren't
// numbers are errors, where pycocotools ignores or miscounts them.
//
// # Concurrency and order
//
// Nothing here changes its arguments, and all of it is safe for concurrent use
// as long as nobody changes them meanwhile. Evaluate and ProposalRecall use as
// many processors as GOMAXPROCS says. The same input gives the same output, to
// the last bit and in the same order.
package eval
