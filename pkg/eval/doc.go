// Package eval measures detections against ground truth with the metrics of COCO and
// LVIS: the AP and AR of pycocotools, LVIS's federated AP and AR, and the recall of
// proposals.
//
//	dataset, err := eval.ReadDatasetFile("instances_val2017.json", eval.Limits{})
//	results, err := eval.ReadResultsFile("results.json", eval.Limits{})
//	evaluation, err := eval.Evaluate(dataset, results)
//	fmt.Println(evaluation.Summary.AP50)
//
// # Units
//
// Boxes are COCO's [x, y, width, height] in float64, in pixels of the annotated image; x
// and y are edges, so [0,0,1,1] is the top left pixel. Areas are square pixels. Metrics
// are fractions in [0,1], or -1 if there is no ground truth, as in pycocotools. They are
// never NaN. The IoU thresholds are 0.50, 0.55 to 0.95, and the recall thresholds 0.00,
// 0.01 to 1.00.
//
// # Equal to pycocotools
//
// Evaluate follows pycocotools 2.0.11 (cocoeval.py) in every choice that affects the
// numbers:
//
//   - all arithmetic is float64;
//   - equal scores keep their order: images by id, then the order of the results;
//   - at most 100 detections per image and category count;
//   - an area at the border of two ranges belongs to both;
//   - a detection matches a crowd region by its share in the region;
//   - a category without ground truth doesn't count;
//   - a match with the annotation of id 0 counts as none, because pycocotools marks
//     "unmatched" with 0. Number annotations from 1, see [Dataset.Warnings].
//
// Evaluate differs from pycocotools only in its errors: it refuses duplicate and unknown
// ids, and boxes and scores that aren't numbers. pycocotools ignores or miscounts them.
//
// # Concurrency and order
//
// No function changes its arguments. All functions are safe for concurrent use while
// nothing else changes their arguments. Evaluate uses up to GOMAXPROCS processors, and
// EvaluateProposals one. The same input gives the same output, bit for bit and in the
// same order.
package eval
