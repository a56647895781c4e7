package detect

import (
	"errors"
	"math"
	"testing"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/crop"
)

func TestCropComplete(t *testing.T) {
	for _, test := range []struct {
		crop, want Crop // the zero want is ErrOption
	}{
		{Crop{}, Crop{CropAuto, 1}},
		{Crop{Mode: CropPad, Context: 1.5}, Crop{CropPad, 1.5}},
		{Crop{Mode: CropSquash}, Crop{CropSquash, 1}},
		{Crop{Context: 100}, Crop{CropAuto, 100}},
		{Crop{Mode: CropCLIP}, Crop{CropCLIP, 1}},
		{Crop{Mode: "centre"}, Crop{}},
		{Crop{Context: -1}, Crop{}},
		{Crop{Context: 100.1}, Crop{}},
		{Crop{Context: math.NaN()}, Crop{}},
		{Crop{Context: math.Inf(1)}, Crop{}},
	} {
		got, err := test.crop.complete()
		switch {
		case test.want == Crop{} && !errors.Is(err, ErrOption):
			t.Errorf("%+v: got %v, want ErrOption", test.crop, err)
		case test.want != Crop{} && (err != nil || got != test.want):
			t.Errorf("%+v: got %+v, %v, want %+v", test.crop, got, err, test.want)
		}
	}
}

func TestCropModeOfTheTower(t *testing.T) {
	for _, test := range []struct {
		asked   CropMode
		trained string
		want    crop.Mode
	}{
		{CropAuto, "", crop.CLIP},
		{CropAuto, "shortest", crop.CLIP},
		{CropAuto, "squash", crop.Squash},
		{CropAuto, "longest", crop.Pad},
		{CropCLIP, "squash", crop.CLIP},
		{CropPad, "shortest", crop.Pad},
	} {
		if got := (Crop{Mode: test.asked}).mode(archive.Manifest{ResizeMode: test.trained}); got != test.want {
			t.Errorf("%s of a tower for %s: got %s, want %s", test.asked, test.trained, got, test.want)
		}
	}
}
