// Package rpn finds the candidate boxes of a picture with an exported region proposal
// network (Ren et al., Faster R-CNN, arXiv:1506.01497), as torchscript/CONTRACT.md
// describes it. The archive itself resizes, makes anchors, decodes boxes and suppresses
// them, so the boxes are in pixels of the given picture.
package rpn

import (
	"errors"
	"fmt"
	"slices"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/internal/archive"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// ErrOutput is returned if the output of an archive isn't what its manifest says.
var ErrOutput = errors.New("unexpected output of the region proposal network")

// Network is a loaded region proposal network. It may be used only on the engine that
// loaded it.
type Network struct {
	module   *torch.Module
	manifest archive.Manifest
}

// Load reads the network onto the engine's device. It fails with archive.ErrMismatch if
// the file is of another kind.
func Load(s *torch.Scope, file archive.File) (*Network, error) {
	if err := file.Want(archive.RPN); err != nil {
		return nil, err
	}
	module, err := s.Load(file.Path)
	if err != nil {
		return nil, file.Explain(err, torch.Version())
	}
	return &Network{module: module, manifest: file.Manifest}, nil
}

// Proposals are the candidate boxes of one picture, best first.
type Proposals struct {
	Boxes      []box.Box // in pixels of the picture
	Objectness []float32 // in [0,1]: that a box holds any object
	// ObjectnessOn is Objectness on the device, float32 [K,1].
	ObjectnessOn torch.Tensor
}

// columns are the numbers of a proposal: four edges and the objectness.
const columns = 5

// Size is a picture's height and width in pixels, in the order of the network's input.
type Size struct{ Height, Width int }

// Propose returns the proposals of each picture of a batch uint8 [B,3,H,W], at most limit
// of each; 0 is all of the network's. sizes are the sizes of the pictures. A picture that
// is smaller than the batch lies in its top left corner. The network sees the padding, as
// in torchvision, so such a picture has proposals that differ a little from its proposals
// alone.
//
// The boxes are copied to the host, since they decide the shapes of the crops.
func (n *Network) Propose(s *torch.Scope, pictures torch.Tensor, sizes []Size, limit int) ([]Proposals, error) {
	b := int64(len(sizes))
	flat := make([]int64, 0, 2*b)
	for _, size := range sizes {
		flat = append(flat, int64(size.Height), int64(size.Width))
	}
	out := s.Call(n.module, "forward", 2, pictures, torch.Host(s, flat, b, 2))
	if boxes, counts := s.DType(out[0]), s.DType(out[1]); s.Err() == nil && (boxes != torch.Float32 || counts != torch.Int64) {
		return nil, fmt.Errorf("%w %s: proposals are %s and counts %s, not float32 and int64; export it again",
			ErrOutput, n.manifest.Architecture, boxes, counts)
	}
	shape, ofCounts := s.Shape(out[0]), s.Shape(out[1])
	// Both in one copy, the counts as float32 too, which is exact.
	joined := torch.Download[float32](s, s.Cat(0, s.Reshape(out[0], -1), s.Reshape(s.To(out[1], torch.Float32), -1)))
	if err := s.Err(); err != nil {
		return nil, err
	}
	rows, counts := joined[:len(joined)-int(b)], joined[len(joined)-int(b):]
	if len(shape) != 3 || shape[0] != b || shape[2] != columns || len(ofCounts) != 1 || ofCounts[0] != b ||
		slices.Min(counts) < 0 || slices.Max(counts) > float32(shape[1]) {
		return nil, fmt.Errorf("%w %s: proposals %v with counts %v, not [%d,K,%d] with counts of at most K; export it again",
			ErrOutput, n.manifest.Architecture, shape, counts, b, columns)
	}
	all := make([]Proposals, b)
	for i := range all {
		count := int(counts[i])
		if limit > 0 {
			count = min(count, limit)
		}
		all[i] = Proposals{Boxes: make([]box.Box, count), Objectness: make([]float32, count)}
		for k := range count {
			r := rows[(i*int(shape[1])+k)*columns:][:columns]
			if !within(r, sizes[i]) {
				return nil, fmt.Errorf("%w %s: proposal %d is %v (x0, y0, x1, y1, objectness) in a picture of %d x %d; export it again, or take models of dtype float32",
					ErrOutput, n.manifest.Architecture, k, r, sizes[i].Width, sizes[i].Height)
			}
			all[i].Boxes[k], all[i].Objectness[k] = box.Box{X0: r[0], Y0: r[1], X1: r[2], Y1: r[3]}, r[4]
		}
		own := s.Reshape(s.Slice(out[0], 0, int64(i), int64(i)+1), -1, columns)
		all[i].ObjectnessOn = s.Slice(s.Slice(own, 0, 0, int64(count)), 1, columns-1, columns)
	}
	return all, s.Err()
}

// within reports whether a proposal lies in its picture, up to a pixel of rounding, and
// its objectness in [0,1]. It is false if a number is NaN.
func within(row []float32, size Size) bool {
	edges := func(low, high float32, side int) bool { return -1 <= low && low <= high && high <= float32(side)+1 }
	return edges(row[0], row[2], size.Width) && edges(row[1], row[3], size.Height) && 0 <= row[4] && row[4] <= 1
}
