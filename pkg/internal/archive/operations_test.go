package archive

import "testing"

func TestFLOPsPerUnit(t *testing.T) {
	rpn := Manifest{Kind: RPN, MinSize: 800, MaxSize: 1333, FLOPs: 2 * 800 * 1066}
	rpn.KnownAnswer.Inputs = []KnownInput{{Shape: []int64{1, 3, 480, 640}}, {Shape: []int64{1, 2}, Literal: [][]int64{{480, 640}}}}
	unknown := rpn
	unknown.KnownAnswer.Inputs = []KnownInput{{Shape: []int64{1, 3, 480, 640}}, {Shape: []int64{1, 2}}}
	text := Manifest{Kind: CLIPText, FLOPs: 7700}
	text.KnownAnswer.Inputs = []KnownInput{{Shape: []int64{2, 77}}}
	image := Manifest{Kind: CLIPImage, FLOPs: 500}
	image.KnownAnswer.Inputs = []KnownInput{{Shape: []int64{5, 3, 8, 8}}}
	for _, test := range []struct {
		m    Manifest
		want float64
	}{{rpn, 2}, {unknown, 0}, {text, 50}, {image, 100}} {
		if got := test.m.FLOPsPerUnit(); got != test.want {
			t.Errorf("%s: got %v, want %v", test.m.Kind, got, test.want)
		}
	}
}

func TestResized(t *testing.T) {
	rpn := Manifest{Kind: RPN, MinSize: 800, MaxSize: 1333}
	for _, test := range []struct{ height, width, wantHeight, wantWidth int }{
		{480, 640, 800, 1066},
		{300, 1200, 333, 1333},
		{1, 20_000, 1, 1333},
		{20_000, 1, 1333, 1},
	} {
		if h, w := rpn.Resized(test.height, test.width); h != test.wantHeight || w != test.wantWidth {
			t.Errorf("%d x %d becomes %d x %d, want %d x %d", test.height, test.width, h, w, test.wantHeight, test.wantWidth)
		}
	}
}
