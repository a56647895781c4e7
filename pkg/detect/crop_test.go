package detect

import (
	"errors"
	"math"
	"testing"
)

func TestCropComplete(t *testing.T) {
	for _, test := range []struct {
		crop, want Crop // the zero want is ErrOption
	}{
		{Crop{}, Crop{CropCLIP, 1}},
		{Crop{Mode: CropPad, Context: 1.5}, Crop{CropPad, 1.5}},
		{Crop{Mode: CropSquash}, Crop{CropSquash, 1}},
		{Crop{Context: 100}, Crop{CropCLIP, 100}},
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
