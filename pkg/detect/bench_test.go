package detect

import (
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/pixels"
)

var benchModels = flag.String("models", "", "directory of the models to benchmark (default: the built-in ones)")

// Eighty names, as many as a picture is asked for in COCO.
const benchNames = `ant apple axe banana basket bear bed bee bell bicycle boat book bottle bread bus butterfly cactus cake
camel camera candle car carrot castle cat chair cherry chicken clock cloud coin cow crab crown dog dolphin door drum
duck eagle elephant fish flower fox frog ghost gift grapes guitar hammer hat horse house key kite knife lamp leaf
lemon lion lizard lock moon mouse mushroom octopus onion owl panda peach pear pencil penguin pig pizza rabbit rocket
shoe snail tree`

// BenchmarkDetectWarm640x480 is a picture's way from decoded pixels to the detections of 80 queries that are embedded
// already, with the defaults of Open and Detect. Beside the whole it reports the stages, in ms a picture:
//
//	go test -run '^$' -bench DetectWarm ./pkg/detect [-models DIR]
func BenchmarkDetectWarm640x480(b *testing.B) {
	set := builtin.Models()
	if *benchModels != "" {
		set = model.Dir(*benchModels)
	}
	d, err := Open(b.Context(), Options{Models: set})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	names := strings.Fields(benchNames)
	if len(names) != 80 {
		b.Fatalf("%d names, not 80", len(names))
	}
	q := queries(b, d, names...)
	picture, err := pixels.DecodeFile("../../testdata/images/scene-020.jpg", pixels.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	var stages Timings
	var proposals int
	detect := func() {
		result, err := d.Detect(b.Context(), picture, q, Params{})
		if err != nil {
			b.Fatal(err)
		}
		t := result.Timings
		proposals = len(result.Proposals)
		stages.Upload += t.Upload
		stages.RPN += t.RPN
		stages.Crop += t.Crop
		stages.Encode += t.Encode
		stages.Rank += t.Rank
		stages.Download += t.Download
	}
	for range 3 {
		detect()
	}
	stages = Timings{}
	for b.Loop() {
		detect()
	}
	for name, stage := range map[string]time.Duration{
		"upload": stages.Upload, "rpn": stages.RPN, "crop": stages.Crop, "encode": stages.Encode, "rank": stages.Rank,
		"download": stages.Download,
	} {
		b.ReportMetric(float64(stage.Microseconds())/1000/float64(b.N), name+"-ms")
	}
	b.ReportMetric(float64(proposals), "proposals")
}
