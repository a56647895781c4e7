// Package clip embeds crops and phrases with the two towers of CLIP (Radford et al.,
// arXiv:2103.00020), exported as torchscript/CONTRACT.md describes. Both give unit
// vectors of one space, so that a dot product is the cosine.
package clip

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/model"
)

// ErrOutput says that an archive doesn't answer as its manifest says.
var ErrOutput = errors.New("unexpected output of CLIP")

// Encoder is a loaded tower. It belongs to the engine that loaded it.
type Encoder struct {
	module   *torch.Module
	manifest model.Manifest
	encoded  atomic.Int64
	halved   atomic.Int64
}

// Encoded is how many inputs EncodeAll has embedded since e was loaded. It may be read
// from any goroutine.
func (e *Encoder) Encoded() int64 { return e.encoded.Load() }

// Halved is how often EncodeAll has halved its batches, since the memory didn't suffice.
// It may be read from any goroutine.
func (e *Encoder) Halved() int64 { return e.halved.Load() }

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
	if dtype := s.DType(out); s.Err() == nil && dtype != torch.Float32 {
		s.Fail(fmt.Errorf("%w %s: embeddings are %s, not float32; export it again", ErrOutput, e.manifest.Architecture, dtype))
	}
	return out
}

// block is how many inputs a CPU encodes at once. Matrix products of other sizes may add
// up in another order, so that the last digits of an embedding would depend on what else
// is encoded with it; in blocks of one size they don't. 16 crops of a ViT-B/32 take as
// long a crop as 64.
const block = 16

// EncodeAll embeds n inputs in batches, whose memory is freed one after the other:
// batch(low, high) makes the inputs low to high-1. It gives [n,D].
//
// A CPU takes 16 at once, the last ones filled up to that, so that an input's embedding is
// the same to the bit whatever the others are. A GPU takes size at once. Where the memory
// doesn't suffice, both go on with half as many, down to one.
func (e *Encoder) EncodeAll(s *torch.Scope, n, size int, batch func(low, high int) torch.Tensor) torch.Tensor {
	fill := !s.Device().IsCUDA()
	if fill {
		size = block
	}
	return s.Within(func() torch.Tensor {
		var parts []torch.Tensor
		for low := 0; low < n && s.Err() == nil; {
			high := min(low+size, n)
			part, err := s.Try(func() torch.Tensor {
				inputs := batch(low, high)
				if fill {
					return e.encodeFilled(s, inputs, size)
				}
				return e.Encode(s, inputs)
			})
			switch {
			case err == nil:
				e.encoded.Add(int64(high - low))
				parts, low = append(parts, part), high
			case errors.Is(err, torch.ErrOutOfMemory) && size > 1:
				e.halved.Add(1)
				size /= 2
			default:
				s.Fail(err)
			}
		}
		return s.Cat(0, parts...)
	})
}

// encodeFilled embeds at most size inputs among as many more as make it that many.
func (e *Encoder) encodeFilled(s *torch.Scope, batch torch.Tensor, size int) torch.Tensor {
	shape := s.Shape(batch)
	if s.Err() != nil || shape[0] == int64(size) {
		return e.Encode(s, batch)
	}
	n := shape[0]
	shape[0] = int64(size) - n
	filling := s.Expand(s.Slice(batch, 0, 0, 1), shape...)
	return s.Slice(e.Encode(s, s.Cat(0, batch, filling)), 0, 0, n)
}
