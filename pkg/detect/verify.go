package detect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/scripted"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model"
)

// Verify reads the whole file of a name in a set, and replays its known answer on a
// device ("auto", "cpu" or "cuda:N"). It returns the tolerance, and the largest
// difference of a number from the known number, relative to the known number if that is
// above 1. It fails with model.ErrAnswer if the difference is above the tolerance. It
// fails with ErrNotHere if the device has no operations for the type of the weights; then
// it has only checked the file. If another torch exported the model, errors of loading,
// running and comparing say so.
func Verify(ctx context.Context, models model.Set, name, device string) (difference, tolerance float64, err error) {
	on, err := torch.ParseDevice(device)
	if err != nil {
		return 0, 0, fmt.Errorf("detect: verify: %w", err)
	}
	file, err := models.Archives().File(ctx, name)
	if err == nil {
		difference, err = verify(ctx, file, on)
	}
	if err != nil {
		return difference, 0, fmt.Errorf("detect: verify %s: %w", name, err)
	}
	return difference, file.Manifest.KnownAnswer.Tolerance, nil
}

func verify(ctx context.Context, file archive.File, on torch.Device) (difference float64, err error) {
	if err := archive.Check(ctx, file.Path); err != nil {
		return 0, err
	}
	if notOn(on, file.Manifest.DType) != "" {
		return 0, ErrNotHere
	}
	engine, err := torch.Start(on, 0)
	if err != nil {
		return 0, err
	}
	defer engine.Close()
	err = engine.Do(ctx, func(s *torch.Scope) error {
		module, err := s.Load(file.Path)
		if err == nil {
			err = file.Unchanged()
		}
		var outputs []archive.Array
		if err == nil {
			outputs, err = replay(s, module, file)
		}
		if err == nil {
			difference, err = file.Manifest.KnownAnswer.Compare(outputs)
		}
		return advise(err, file)
	})
	return difference, err
}

// advise adds to err what to do about a model that doesn't load, run or answer.
func advise(err error, file archive.File) error {
	switch {
	case errors.Is(err, torch.ErrOutOfMemory) || !errors.Is(err, torch.ErrLibtorch) && !errors.Is(err, archive.ErrAnswer):
		return err
	case file.Manifest.OtherTorch(torch.Version()) != "":
		return file.Explain(err, torch.Version())
	case errors.Is(err, archive.ErrAnswer):
		return fmt.Errorf("%w; export the model again, or take a device that answers right", err)
	}
	return fmt.Errorf("%w; it is not the %s that its manifest says, or this device can't run it: export the model again, or take another device",
		err, file.Manifest.Kind)
}

// Check replays the known answers of the three models as d has loaded them, each when its
// turn has come. It fails with model.ErrAnswer if a model answers otherwise, and with the
// errors of a call, such as ErrDevice if the device is lost. A service can tell by it
// whether it is ready.
//
// A GPU may compute with fewer digits than Verify allows (TF32), and then proposals change
// places. There Check allows embeddings a difference of 0.05, and proposals any number.
func (d *Detector) Check(ctx context.Context) (err error) {
	defer d.callEnds(ctx, "Check", time.Now(), &err)
	gpu := d.engine.Device().LikeGPU()
	for _, loaded := range []struct {
		file    archive.File
		model   *scripted.Model
		allowed float64 // on a GPU
	}{
		{d.files.Text, d.text.Model, 0.05},
		{d.files.Image, d.image.Model, 0.05},
		{d.files.RPN, d.network.Model, math.MaxFloat64},
	} {
		err := d.onEngine(ctx, func(s *torch.Scope) error {
			module, err := loaded.model.Load(s)
			if err != nil {
				return err
			}
			outputs, err := replay(s, module, loaded.file)
			if err != nil {
				return err
			}
			difference, err := loaded.file.Manifest.KnownAnswer.Compare(outputs)
			if gpu && difference > 0 && difference <= loaded.allowed {
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("detect: check %s: %w", loaded.file.Manifest.Kind, err)
		}
	}
	return nil
}

// replay runs a loaded model on the inputs of its known answer.
func replay(s *torch.Scope, module *torch.Module, file archive.File) ([]archive.Array, error) {
	known := file.Manifest.KnownAnswer
	arrays, err := known.Generate()
	if err != nil {
		return nil, err
	}
	inputs := make([]torch.Tensor, len(arrays))
	for i, a := range arrays {
		switch data := a.Data.(type) {
		case []uint8:
			inputs[i] = torch.Upload(s, data, a.Shape...)
		case []int64:
			inputs[i] = torch.Upload(s, data, a.Shape...)
		case []float32:
			inputs[i] = torch.Upload(s, data, a.Shape...)
		}
	}
	outputs := make([]archive.Array, len(known.Outputs))
	for i, t := range s.Call(module, "forward", len(outputs), inputs...) {
		outputs[i].Shape = s.Shape(t)
		// Only counts are int64. All other outputs are float32.
		if s.DType(t) == torch.Int64 {
			outputs[i].Data = torch.Download[int64](s, t)
		} else {
			outputs[i].Data = torch.Download[float32](s, t)
		}
	}
	return outputs, s.Err()
}
