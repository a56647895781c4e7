// Package clip embeds crops and phrases with the two towers of CLIP (Radford et al.,
// arXiv:2103.00020), exported as torchscript/CONTRACT.md describes. Both give unit
// vectors of one space, so that a dot product is the cosine.
package clip

import (
	"errors"
	"fmt"

	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/torch"
)

// ErrOutput says that an archive doesn't answer as its manifest says.
var ErrOutput = errors.New("unexpected output of CLIP")

// Encoder is a loaded tower. It belongs to the engine that loaded it.
type Encoder struct {
	module   *torch.Module
	manifest model.Manifest
}

// Load reads a tower of a models directory onto the engine's device. A file of
// another kind is refused with model.ErrMismatch.
func Load(s *torch.Scope, file model.File) (*Encoder, error) {
	if err := file.Want(model.CLIPImage, model.CLIPText); err != nil {
		return nil, err
	}
	module, err := s.Load(file.Path)
	if err != nil {
		return nil, file.Explain(err, torch.Version())
	}
	return &Encoder{module: module, manifest: file.Manifest}, nil
}

// Encode embeds a batch, crops float32 [N,3,S,S] in [0,1] or tokens int64 [N,77],
// as the tower is: unit rows, float32 [N,D].
func (e *Encoder) Encode(s *torch.Scope, batch torch.Tensor) torch.Tensor {
	out := s.Forward(e.module, batch)
	in, got := s.Shape(batch), s.Shape(out)
	if s.Err() == nil && (len(got) != 2 || got[0] != in[0] || got[1] != int64(e.manifest.EmbeddingWidth)) {
		s.Fail(fmt.Errorf("%w %s: %v for a batch of %d, not [%d,%d]; export it again",
			ErrOutput, e.manifest.Architecture, got, in[0], in[0], e.manifest.EmbeddingWidth))
	}
	return out
}

// EncodeAll embeds n inputs in batches of at most size, whose memory is freed one
// after the other: batch(low, high) makes the inputs low to high-1. It gives [n,D].
func (e *Encoder) EncodeAll(s *torch.Scope, n, size int, batch func(low, high int) torch.Tensor) torch.Tensor {
	var parts []torch.Tensor
	for low := 0; low < n && s.Err() == nil; low += size {
		high := min(low+size, n)
		parts = append(parts, s.Within(func() torch.Tensor { return e.Encode(s, batch(low, high)) }))
	}
	return s.Cat(0, parts...)
}
