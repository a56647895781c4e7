package detect_test

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"image"
	"log"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
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
		detect.Query{Name: "helmet"},
		detect.Query{Name: "cup", Phrases: []string{"a cup of coffee", "a mug on a saucer"}},
	)
	if err != nil {
		log.Fatal(err)
	}
	defer queries.Close()

	picture, err := pixels.DecodeFile("../../testdata/photos/sheet.jpg", pixels.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	result, err := detector.Detect(ctx, picture, queries, detect.Params{TopK: 1, Threshold: 0.65})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range result.Detections {
		r := d.Box.Outward()
		fmt.Printf("%s, about %d pixels wide\n", d.Query, (r.Dx()+25)/50*50)
	}
	// Unordered output:
	// helmet, about 250 pixels wide
	// cup, about 200 pixels wide
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

// ask opens the built-in models, and embeds queries for the examples.
func ask(names ...string) (*detect.Detector, *detect.Queries) {
	detector, err := detect.Open(context.Background(), detect.Options{Models: builtin.Models()})
	if err != nil {
		log.Fatal(err)
	}
	var asked []detect.Query
	for _, name := range names {
		asked = append(asked, detect.Query{Name: name})
	}
	queries, err := detector.Queries(context.Background(), asked...)
	if err != nil {
		log.Fatal(err)
	}
	return detector, queries
}

func read() image.Image {
	picture, err := pixels.DecodeFile("../../testdata/images/scene-020.jpg", pixels.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	return picture
}

func ExampleDetector_Detect() {
	detector, queries := ask("owl", "camera")
	defer detector.Close()

	result, err := detector.Detect(context.Background(), read(), queries, detect.Params{TopK: 1, Threshold: 0.65})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range result.Detections {
		fmt.Printf("%s, nearest is %q\n", d.Query, d.Phrase)
	}
	// Output:
	// owl, nearest is "a photo of the small owl."
	// camera, nearest is "a bad photo of the camera."
}

// Pictures are decoded while the detector works on others. A picture that can't be
// decoded has its error in its place.
func ExampleDetector_DetectAll() {
	detector, queries := ask("penguin", "owl")
	defer detector.Close()

	scenes := []string{"006", "none", "020"}
	images := func(yield func(image.Image, error) bool) {
		for _, scene := range scenes {
			picture, err := pixels.DecodeFile("../../testdata/images/scene-"+scene+".jpg", pixels.Limits{})
			if !yield(picture, err) {
				return
			}
		}
	}
	i := 0
	for result, err := range detector.DetectAll(context.Background(), images, queries, detect.Params{TopK: 1, Threshold: 0.9}) {
		if err != nil {
			fmt.Println(scenes[i], "can't be read")
		} else {
			fmt.Println(scenes[i], "shows", result.Detections[0].Query)
		}
		i++
	}
	// Output:
	// 006 shows penguin
	// none can't be read
	// 020 shows owl
}

// Regions are embedded once, and matched with queries many times.
func ExampleRegions_Match() {
	ctx := context.Background()
	detector, first := ask("owl")
	defer detector.Close()
	second, err := detector.Queries(ctx, detect.Query{Name: "bird of the night", Phrases: []string{"an owl"}})
	if err != nil {
		log.Fatal(err)
	}

	regions, err := detector.Regions(ctx, read())
	if err != nil {
		log.Fatal(err)
	}
	defer regions.Close()
	for _, queries := range []*detect.Queries{first, second} {
		result, err := regions.Match(ctx, queries, detect.Params{TopK: 1})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.Detections[0].Query, result.Detections[0].Box.Outward())
	}
	// Output:
	// owl (10,339)-(111,444)
	// bird of the night (10,339)-(111,444)
}

// The caller may have boxes of its own.
func ExampleWithProposals() {
	ctx := context.Background()
	detector, queries := ask("owl", "camera")
	defer detector.Close()

	picture := detect.WithProposals{Image: read(), Proposals: []detect.Proposal{
		{Box: box.Box{X0: 7, Y0: 332, X1: 112, Y1: 453}, Objectness: 1},
	}}
	result, err := detector.Detect(ctx, picture, queries, detect.Params{Rank: detect.RankProbability})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Detections[0].Query)
	// Output: owl
}

// Queries may have their own thresholds. Presence says for each query whether a box
// reached its threshold.
func ExampleParams_thresholds() {
	detector, queries := ask("owl", "camera")
	defer detector.Close()

	// No score reaches 1.1.
	params := detect.Params{Threshold: 0.9, Thresholds: map[string]float32{"camera": 1.1}}
	result, err := detector.Detect(context.Background(), read(), queries, params)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range result.Presence {
		fmt.Println(p.Query, p.Present)
	}
	// Output:
	// owl true
	// camera false
}

// Models may come from a directory, which the exports in torchscript/ fill.
func ExampleOpen_models() {
	detector, err := detect.Open(context.Background(), detect.Options{Models: model.Dir("../../testdata/models/tiny"), DType: "float32"})
	if err != nil {
		log.Fatal(err)
	}
	defer detector.Close()
	fmt.Println(detector.Info().Image.Manifest.Kind)
	// Output: clip-image
}

// errors.Is tells errors apart.
func ExampleOpen_errors() {
	_, err := detect.Open(context.Background(), detect.Options{Models: builtin.Models(), Device: "cuda:99"})
	switch {
	case errors.Is(err, detect.ErrDevice):
		fmt.Println("take another device")
	case errors.Is(err, model.ErrMissing):
		fmt.Println("export the models first")
	}
	// Output: take another device
}
