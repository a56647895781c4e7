package detect

import (
	"context"
	"errors"
	"fmt"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model"
)

// Verify reads all of a model's file, as model.Check does, and replays its known answer
// on a device ("auto", "cpu" or "cuda:N"). It gives the largest difference, as
// model.KnownAnswer.Compare defines it, and fails with model.ErrAnswer when that is
// above the manifest's tolerance, and with ErrNotHere when only the reading could be
// done. Where another torch exported the model, the errors of loading, calling and
// comparing it say so.
func Verify(ctx context.Context, file model.File, device string) (difference float64, err error) {
	on, err := torch.ParseDevice(device)
	if err != nil {
		return 0, fmt.Errorf("detect: verify: %w", err)
	}
	if err := model.Check(file.Path); err != nil {
		return 0, fmt.Errorf("detect: verify %w", err)
	}
	if file.Manifest.DType == model.Float16 && !on.IsCUDA() {
		return 0, fmt.Errorf("detect: verify %s: %w", file.Path, ErrNotHere)
	}
	engine, err := torch.Start(on, 0)
	if err != nil {
		return 0, fmt.Errorf("detect: verify: %w", err)
	}
	defer engine.Close()
	err = engine.Do(ctx, func(s *torch.Scope) error {
		outputs, err := replay(s, file)
		if err == nil {
			difference, err = file.Manifest.KnownAnswer.Compare(outputs)
		}
		return advise(err, file)
	})
	if err != nil {
		return difference, fmt.Errorf("detect: verify %s: %w", file.Path, err)
	}
	return difference, nil
}

// advise says what to do about a model that doesn't load, run or answer.
func advise(err error, file model.File) error {
	switch {
	case errors.Is(err, torch.ErrOutOfMemory) || !errors.Is(err, torch.ErrLibtorch) && !errors.Is(err, model.ErrAnswer):
		return err
	case file.Manifest.OtherTorch(torch.Version()) != "":
		return file.Explain(err, torch.Version())
	case errors.Is(err, model.ErrAnswer):
		return fmt.Errorf("%w; export the model again, or take a device that answers right", err)
	}
	return fmt.Errorf("%w; it is not the %s that its manifest says, or this device can't run it: export the model again, or take another device",
		err, file.Manifest.Kind)
}

// replay runs the model on the inputs of its known answer.
func replay(s *torch.Scope, file model.File) ([]model.Array, error) {
	known := file.Manifest.KnownAnswer
	arrays, err := known.Generate()
	if err != nil {
		return nil, err
	}
	module, err := s.Load(file.Path)
	if err != nil {
		return nil, err
	}
	if err := file.Unchanged(); err != nil {
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
	outputs := make([]model.Array, len(known.Outputs))
	for i, t := range s.Call(module, "forward", len(outputs), inputs...) {
		outputs[i].Shape = s.Shape(t)
		// Counts are int64, everything else that a model gives is float32.
		if s.DType(t) == torch.Int64 {
			outputs[i].Data = torch.Download[int64](s, t)
		} else {
			outputs[i].Data = torch.Download[float32](s, t)
		}
	}
	return outputs, s.Err()
}
