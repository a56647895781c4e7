package eval_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/clipdet/clipdet/pkg/eval"
)

func Example() {
	dataset, err := eval.ReadDataset(strings.NewReader(`{
		"images": [{"id": 1, "file_name": "yard.jpg", "width": 640, "height": 480}],
		"annotations": [
			{"id": 1, "image_id": 1, "category_id": 17, "bbox": [10, 20, 100, 50]},
			{"id": 2, "image_id": 1, "category_id": 18, "bbox": [300, 200, 80, 90]}
		],
		"categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}]
	}`), eval.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	results, err := eval.ReadResults(strings.NewReader(`[
		{"image_id": 1, "category_id": 17, "bbox": [12, 20, 100, 50], "score": 0.9},
		{"image_id": 1, "category_id": 17, "bbox": [300, 205, 80, 85], "score": 0.8}
	]`), eval.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	evaluation, err := eval.Evaluate(dataset, results)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("AP50 %.3f, AR100 %.3f\n", evaluation.Summary.AP50, evaluation.Summary.AR100)
	// Output:
	// AP50 0.500, AR100 0.500
}
