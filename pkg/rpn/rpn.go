// Package rpn finds the candidate boxes of a picture: it runs an exported region
// proposal network (Ren et al., Faster R-CNN, arXiv:1506.01497), as torchscript/CONTRACT.md
// describes it. Resizing, anchors, decoding and NMS are inside the archive, so that
// boxes come back in pixels of the picture that went in.
package rpn

import (
	"errors"
	"fmt"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/torch"
)

// ErrOutput says that an archive doesn't answer as its manifest says.
var ErrOutput = errors.New("unexpected output of the region proposal network")

// Network is a loaded region proposal network. It belongs to the engine that loaded it.
type Network struct {
	module   *torch.Module
	manifest model.Manifest
}

// Load reads the network of a models directory onto the engine's device.
func Load(s *torch.Scope, file model.File) (*Network, error) {
	module, err := s.Load(file.Path)
	if err != nil {
		return nil, err
	}
	return &Network{module: module, manifest: file.Manifest}, nil
}

// Proposal is a candidate box, in pixels of the picture, and the network's
// probability in [0,1] that it holds an object of any kind.
type Proposal struct {
	Box        box.Box `json:"box"`
	Objectness float32 `json:"objectness"`
}

// columns of the network's output: four edges and the objectness.
const columns = 5

// Propose gives the best proposals of a picture uint8 [1,3,H,W], at most limit
// (0: all that the network gives), best first. They come to the host, since the
// sizes of the crops are sizes of tensors; the picture doesn't.
func (n *Network) Propose(s *torch.Scope, picture torch.Tensor, limit int) ([]Proposal, error) {
	shape := s.Shape(picture)
	if err := s.Err(); err != nil {
		return nil, err
	}
	size := torch.Upload(s, []int64{shape[2], shape[3]}, 1, 2)
	out := s.Call(n.module, "forward", 2, picture, size)
	rows := torch.Download[float32](s, out[0])
	counts := torch.Download[int64](s, out[1])
	shape = s.Shape(out[0])
	if err := s.Err(); err != nil {
		return nil, err
	}
	if len(shape) != 3 || shape[0] != 1 || shape[2] != columns || len(counts) != 1 || counts[0] < 0 || counts[0] > shape[1] {
		return nil, fmt.Errorf("%w %s: proposals %v with counts %v, not [1,K,%d] with one count of at most K; export it again",
			ErrOutput, n.manifest.Architecture, shape, counts, columns)
	}
	count := int(counts[0])
	if limit > 0 {
		count = min(count, limit)
	}
	proposals := make([]Proposal, count)
	for i := range proposals {
		r := rows[i*columns:]
		proposals[i] = Proposal{box.Box{X0: r[0], Y0: r[1], X1: r[2], Y1: r[3]}, r[4]}
	}
	return proposals, nil
}
