package eval

import (
	"math/rand/v2"
	"testing"
)

// randomSet returns images with up to 14 objects each and the given number of detections
// each. Half of the detections are near an object.
func randomSet(images, categories, detections int) (*Dataset, []Result) {
	draw := rand.New(rand.NewPCG(1, 2))
	d := new(Dataset)
	for c := range categories {
		d.Categories = append(d.Categories, Category{ID: int64(c + 1)})
	}
	anywhere := func() BBox {
		return BBox{600 * draw.Float64(), 400 * draw.Float64(), 1 + 150*draw.Float64(), 1 + 150*draw.Float64()}
	}
	var results []Result
	for i := range images {
		image := int64(i + 1)
		d.Images = append(d.Images, Image{ID: image})
		first := len(d.Annotations)
		for range 1 + draw.IntN(14) {
			b := anywhere()
			d.Annotations = append(d.Annotations, Annotation{
				ID: int64(len(d.Annotations) + 1), ImageID: image, CategoryID: int64(1 + draw.IntN(categories)),
				BBox: b, Area: b.area(), Crowd: draw.IntN(50) == 0,
			})
		}
		for range detections {
			r := Result{ImageID: image, CategoryID: int64(1 + draw.IntN(categories)), BBox: anywhere(), Score: draw.Float64()}
			if draw.IntN(2) == 0 {
				a := d.Annotations[first+draw.IntN(len(d.Annotations)-first)]
				r.CategoryID, r.BBox = a.CategoryID, a.BBox
				for k := range r.BBox {
					r.BBox[k] += 0.2 * a.BBox[2+k%2] * (draw.Float64() - 0.5)
				}
			}
			results = append(results, r)
		}
	}
	return d, results
}

// BenchmarkEvaluate has the size of COCO's val2017: 5,000 images, 80 categories, and 100
// detections per image.
func BenchmarkEvaluate(b *testing.B) {
	d, results := randomSet(5000, 80, 100)
	for b.Loop() {
		if _, err := Evaluate(d, results); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvaluateProposals(b *testing.B) {
	d, results := randomSet(5000, 80, 100)
	for b.Loop() {
		if _, err := EvaluateProposals(d, results); err != nil {
			b.Fatal(err)
		}
	}
}
