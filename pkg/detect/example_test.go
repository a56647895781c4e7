package detect_test

import (
	"context"
	"expvar"
	"fmt"
	"log"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/pixels"
)

func Example() {
	ctx := context.Background()
	detector, err := detect.Open(ctx, detect.Options{Models: builtin.Models()})
	if err != nil {
		log.Fatal(err)
	}
	defer detector.Close()

	queries, err := detector.Queries(ctx,
		detect.Query{Name: "penguin"},
		detect.Query{Name: "shades", Phrases: []string{"sunglasses", "a pair of sunglasses"}},
	)
	if err != nil {
		log.Fatal(err)
	}
	defer queries.Close()

	picture, err := pixels.DecodeFile("../../testdata/images/scene-006.jpg", pixels.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	result, err := detector.Detect(ctx, picture, queries, detect.Params{TopK: 1, Threshold: 0.75})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range result.Detections {
		r := d.Box.Outward()
		fmt.Printf("%s, about %d pixels wide\n", d.Query, (r.Dx()+25)/50*50)
	}
	// Unordered output:
	// penguin, about 100 pixels wide
	// shades, about 100 pixels wide
}

func ExampleDetector_Stats() {
	detector, err := detect.Open(context.Background(), detect.Options{Models: builtin.Models()})
	if err != nil {
		log.Fatal(err)
	}
	defer detector.Close()
	expvar.Publish("clipdet", expvar.Func(func() any { return detector.Stats() }))

	fmt.Println(detector.Stats().Calls, "calls")
	// Output: 0 calls
}
