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
	"github.com/clipdet/clipdet/pkg/internal/scripted"
	"github.com/clipdet/clipdet/pkg/internal/torch"
)

// ErrOutput is returned if the output of an archive isn't what its manifest says.
var ErrOutput = errors.New("unexpected output of the region proposal network")

// Network is a region proposal network, which is loaded by Load or else by the first
// Propose. It may be used only on the engine that loads it.
type Network struct {
	*scripted.Model
	manifest archive.Manifest
}

// New returns a network that isn't loaded yet. It fails with archive.ErrMismatch if the
// file is of another kind.
func New(file archive.File) (*Network, error) {
	model, err := scripted.New(file, archive.RPN)
	if err != nil {
		return nil, err
	}
	return &Network{Model: model, manifest: file.Manifest}, nil
}

// Proposals are the candidate boxes of one picture, best first.
type Proposals struct {
	Boxes      []box.Box // in pixels of the picture
	Objectness []float32 // in [0,1]: that a box holds any object
}

// columns are the numbers of a proposal: four edges and the objectness.
const columns = 5

// Size is a picture's height and width in pixels, in the order of the network's input.
type Size struct{ Height, Width int }

// Found are the proposals of one picture on the device, where they may be in the making.
type Found struct {
	Rows  torch.Tensor // float32 [K,5]: x0, y0, x1, y1 in pixels and the objectness, best first
	Count torch.Tensor // float32 [1]: the proposals among the K rows; the others are zero
	Most  int          // K
	all   int          // K without a limit
}

// Boxes returns the edges, float32 [K,4].
func (f Found) Boxes(s *torch.Scope) torch.Tensor { return s.Slice(f.Rows, 1, 0, columns-1) }

// Objectness returns the objectness, float32 [K,1].
func (f Found) Objectness(s *torch.Scope) torch.Tensor {
	return s.Slice(f.Rows, 1, columns-1, columns)
}

// Numbers returns all of f, which Read reads, in one tensor of Length.
func (f Found) Numbers(s *torch.Scope) torch.Tensor {
	return s.Cat(0, s.Reshape(f.Rows, -1), f.Count)
}

// Length is the number of Numbers.
func (f Found) Length() int { return f.Most*columns + 1 }

// First returns the first n rows.
func (f Found) First(s *torch.Scope, n int) Found {
	f.Rows, f.Most = s.Slice(f.Rows, 0, 0, int64(n)), n
	return f
}

// Given uploads a caller's proposals.
func Given(s *torch.Scope, p Proposals) Found {
	rows := make([]float32, 0, columns*len(p.Boxes))
	for i, b := range p.Boxes {
		rows = append(rows, b.X0, b.Y0, b.X1, b.Y1, p.Objectness[i])
	}
	n := len(p.Boxes)
	return Found{torch.Upload(s, rows, int64(n), columns), s.Full(float64(n), torch.Float32, 1), n, n}
}

// Propose finds the proposals of each picture of a batch uint8 [B,3,H,W], at most limit
// of each; 0 is all of the network's. sizes are the sizes of the pictures. A picture that
// is smaller than the batch lies in its top left corner. The network sees the padding, as
// in torchvision, so such a picture has proposals that differ a little from its proposals
// alone. Nothing is copied to the host.
func (n *Network) Propose(s *torch.Scope, pictures torch.Tensor, sizes []Size, limit int) ([]Found, error) {
	module, err := n.Load(s)
	if err != nil {
		return nil, err
	}
	b := int64(len(sizes))
	seen, scale := sizes, func(boxes torch.Tensor) torch.Tensor { return boxes }
	if shape := s.Shape(pictures); b > 0 && len(shape) == 4 && sameSize(sizes, shape) {
		var size Size
		pictures, size = n.shrink(s, pictures, sizes[0])
		seen = slices.Repeat([]Size{size}, len(sizes))
		scale = func(boxes torch.Tensor) torch.Tensor { return scaled(s, boxes, size, sizes[0]) }
	}
	flat := make([]int64, 0, 2*b)
	for _, size := range seen {
		flat = append(flat, int64(size.Height), int64(size.Width))
	}
	out := s.Call(module, "forward", 2, pictures, torch.Host(s, flat, b, 2))
	if boxes, counts := s.DType(out[0]), s.DType(out[1]); s.Err() == nil && (boxes != torch.Float32 || counts != torch.Int64) {
		return nil, fmt.Errorf("%w %s: proposals are %s and counts %s, not float32 and int64; export it again",
			ErrOutput, n.manifest.Architecture, boxes, counts)
	}
	shape, ofCounts := s.Shape(out[0]), s.Shape(out[1])
	if err := s.Err(); err != nil {
		return nil, err
	}
	if len(shape) != 3 || shape[0] != b || shape[2] != columns || len(ofCounts) != 1 || ofCounts[0] != b {
		return nil, fmt.Errorf("%w %s: proposals %v with counts %v, not [%d,K,%d] with a count for each picture; export it again",
			ErrOutput, n.manifest.Architecture, shape, ofCounts, b, columns)
	}
	most := int(shape[1])
	if limit > 0 {
		most = min(most, limit)
	}
	counts := s.To(out[1], torch.Float32) // exact
	rows := scale(out[0])
	all := make([]Found, b)
	for i := range all {
		own := s.Reshape(s.Slice(rows, 0, int64(i), int64(i)+1), -1, columns)
		all[i] = Found{s.Slice(own, 0, 0, int64(most)), s.Slice(counts, 0, int64(i), int64(i)+1), most, int(shape[1])}
	}
	return all, s.Err()
}

// Read makes proposals of the Numbers of f, and fails with ErrOutput if they can't be
// proposals of a picture of the size. Edges that rounding has moved out of the picture are
// moved back. On the device they stay: a box's own pixels are the same, and a crop with
// context around it has at most one more on the other side.
func (n *Network) Read(f Found, numbers []float32, size Size) (Proposals, error) {
	rows, count := numbers[:len(numbers)-1], numbers[len(numbers)-1]
	if !(count >= 0 && count <= float32(f.all)) {
		return Proposals{}, fmt.Errorf("%w %s: %v proposals in %d rows; export it again", ErrOutput, n.manifest.Architecture, count, f.all)
	}
	k := min(int(count), f.Most)
	p := Proposals{Boxes: make([]box.Box, k), Objectness: make([]float32, k)}
	for i := range k {
		r := rows[i*columns:][:columns]
		if !within(r, size) {
			return Proposals{}, fmt.Errorf("%w %s: proposal %d is %v (x0, y0, x1, y1, objectness) in a picture of %d x %d; export it again, or take models of dtype float32",
				ErrOutput, n.manifest.Architecture, i, r, size.Width, size.Height)
		}
		p.Boxes[i] = box.Box{X0: r[0], Y0: r[1], X1: r[2], Y1: r[3]}.Clip(size.Width, size.Height)
		p.Objectness[i] = r[4]
	}
	return p, nil
}

// within reports whether a proposal lies in its picture, up to a pixel of rounding, and
// its objectness in [0,1]. It is false if a number is NaN.
func within(row []float32, size Size) bool {
	edges := func(low, high float32, side int) bool { return -1 <= low && low <= high && high <= float32(side)+1 }
	return edges(row[0], row[2], size.Width) && edges(row[1], row[3], size.Height) && 0 <= row[4] && row[4] <= 1
}
