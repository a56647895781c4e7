package detect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clipdet/clipdet/pkg/internal/archive"
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

// Check replays the known answers of the models that d has loaded, and waits for its turn
// as a picture does. It fails with model.ErrAnswer if a model answers otherwise, and with
// the errors of a call, as ErrDevice if the device is lost. So a service can tell whether
// it is ready.
func (d *Detector) Check(ctx context.Context) (err error) {
	defer d.callEnds(ctx, "Check", time.Now(), &err)
	for _, loaded := range []struct {
		module func() *torch.Module
		file   archive.File
	}{{d.text.Module, d.files.Text}, {d.image.Module, d.files.Image}, {d.network.Module, d.files.RPN}} {
		err := d.onEngine(ctx, func(s *torch.Scope) error {
			outputs, err := replay(s, loaded.module(), loaded.file)
			if err == nil {
				_, err = loaded.file.Manifest.KnownAnswer.Compare(outputs)
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
