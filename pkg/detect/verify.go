package detect

import (
	"context"
	"fmt"

	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/torch"
)

// Verify replays a model's known answer on a device ("auto", "cpu" or "cuda:N") and
// gives the largest difference, as model.KnownAnswer.Compare defines it. It fails
// with model.ErrAnswer when the difference is above the manifest's tolerance.
func Verify(ctx context.Context, file model.File, device string) (difference float64, err error) {
	on, err := torch.ParseDevice(device)
	if err != nil {
		return 0, fmt.Errorf("detect: verify: %w", err)
	}
	engine, err := torch.Start(on, 0)
	if err != nil {
		return 0, fmt.Errorf("detect: verify: %w", err)
	}
	defer engine.Close()
	err = engine.Do(ctx, func(s *torch.Scope) error {
		outputs, err := answer(s, file)
		if err != nil {
			return err
		}
		difference, err = file.Manifest.KnownAnswer.Compare(outputs)
		return err
	})
	if err != nil {
		return difference, fmt.Errorf("detect: verify %s: %w", file.Path, err)
	}
	return difference, nil
}

// answer runs the model on the inputs of its known answer.
func answer(s *torch.Scope, file model.File) ([]model.Array, error) {
	known := file.Manifest.KnownAnswer
	arrays, err := known.Generate()
	if err != nil {
		return nil, err
	}
	module, err := s.Load(file.Path)
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
