// Package clip embeds crops and phrases with the two towers of CLIP (Radford et al.,
// arXiv:2103.00020), exported as torchscript/CONTRACT.md describes. Both towers return
// unit vectors of one space, so a dot product is the cosine.
package clip

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/scripted"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// ErrOutput is returned if the output of an archive isn't what its manifest says.
var ErrOutput = errors.New("unexpected output of CLIP")

// Encoder is a tower, which is loaded by Load or else by the first batch. It may be used
// only on the engine that loads it, except Encoded and Halved.
type Encoder struct {
	*scripted.Model
	manifest archive.Manifest
	encoded  atomic.Int64
	halved   atomic.Int64
	fits     int // the size of the last batch that was halved, 0 if none was; for the engine's thread
}

// Encoded returns the number of inputs that were embedded in batches since New. It may
// be called from any goroutine.
func (e *Encoder) Encoded() int64 { return e.encoded.Load() }

// Halved returns the number of times that a batch was halved for lack of memory. It may
// be called from any goroutine.
func (e *Encoder) Halved() int64 { return e.halved.Load() }

// New returns a tower that isn't loaded yet. It fails with archive.ErrMismatch if the file
// is of another kind.
func New(file archive.File) (*Encoder, error) {
	model, err := scripted.New(file, archive.CLIPImage, archive.CLIPText)
	if err != nil {
		return nil, err
	}
	return &Encoder{Model: model, manifest: file.Manifest}, nil
}

// Encode embeds one batch, crops float32 [N,3,S,S] in [0,1] or tokens int64 [N,T], as it
// is. It returns unit rows, float32 [N,D]. T is 8 to 77.
func (e *Encoder) Encode(s *torch.Scope, batch torch.Tensor) torch.Tensor {
	module, err := e.Load(s)
	if err != nil {
		s.Fail(err)
		return torch.Tensor{}
	}
	out := s.Forward(module, batch)
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

// A CPU encodes block crops, or as many as the manifest says, or textBlock texts, at once.
// A matrix product of another size may add up in another order, so that the last digits of
// an embedding would depend on the inputs beside it. In blocks of one size they don't. A
// crop of ViT-B/32 takes as long in a batch of 16 as in one of 64. The phrasings of a single
// name fill few blocks, so smaller blocks of texts answer sooner. They encode many texts
// about as fast.
const (
	block     = 16
	textBlock = 8
)

// Batches encodes inputs batch by batch. It may be used on the engine's thread only, and
// for one piece of work.
//
// A CPU encodes a block at once, and fills the last batch up to that, so that an input's
// embedding doesn't depend, to the bit, on the others of its batch. A GPU encodes the
// caller's number. If the memory doesn't suffice, both halve their batches, down to
// one input; on a GPU later batches have no more inputs than that.
type Batches struct {
	encoder *Encoder
	size    int
	fill    bool
}

// Batches returns the batches of a piece of work. On a GPU they have at most size inputs.
func (e *Encoder) Batches(s *torch.Scope, size int) *Batches {
	if s.Device().LikeGPU() {
		if e.fits > 0 {
			size = min(size, e.fits)
		}
		return &Batches{e, size, false}
	}
	if e.manifest.Kind == archive.CLIPText {
		return &Batches{e, textBlock, true}
	}
	return &Batches{e, e.block(), true}
}

// block returns how many crops a CPU encodes at once.
func (e *Encoder) block() int { return cmp.Or(e.manifest.Block, block) }

// Next embeds the first of the n inputs that are left, as many as a batch takes. It
// returns their embeddings [count,D] and their count, which is 0 after an error.
// inputs(count) returns the first count inputs.
func (b *Batches) Next(s *torch.Scope, n int, inputs func(count int) torch.Tensor) (embeddings torch.Tensor, count int) {
	for s.Err() == nil {
		count = min(n, b.size)
		embeddings, err := s.Try(func() torch.Tensor {
			if b.fill {
				return b.encoder.encodeFilled(s, inputs(count), b.size)
			}
			return b.encoder.Encode(s, inputs(count))
		})
		switch {
		case err == nil:
			b.encoder.encoded.Add(int64(count))
			return embeddings, count
		case errors.Is(err, torch.ErrOutOfMemory) && b.size > 1:
			b.encoder.halved.Add(1)
			b.size /= 2
			b.encoder.fits = b.size
		default:
			s.Fail(err)
		}
	}
	return torch.Tensor{}, 0
}

// EncodeAll embeds n inputs in batches and returns [n,D]. batch(low, high) returns the
// inputs low to high-1. The memory of each batch is freed before the next.
func (e *Encoder) EncodeAll(s *torch.Scope, n, size int, batch func(low, high int) torch.Tensor) torch.Tensor {
	batches := e.Batches(s, size)
	return s.Within(func() torch.Tensor {
		var parts []torch.Tensor
		for low := 0; low < n && s.Err() == nil; {
			part, count := batches.Next(s, n-low, func(count int) torch.Tensor { return batch(low, low+count) })
			parts, low = append(parts, part), low+count
			s.Pause()
		}
		return s.Cat(0, parts...)
	})
}

// encodeFilled embeds at most size inputs. It fills the batch up to size with copies of
// the first.
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
