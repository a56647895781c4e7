package box

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrEdges is returned if a Box to encode or decode isn't four finite numbers.
var ErrEdges = errors.New("a box is four finite numbers [x0,y0,x1,y1]")

// MarshalJSON returns [x0,y0,x1,y1]. Each number has the fewest digits that give the same
// float32 back. If an edge is infinite or NaN, MarshalJSON fails with ErrEdges.
func (b Box) MarshalJSON() ([]byte, error) {
	edges := [4]float32{b.X0, b.Y0, b.X1, b.Y1}
	for i, edge := range edges {
		if !finite(edge) {
			return nil, fmt.Errorf("%w: edge %d of %v is %v", ErrEdges, i, edges, edge)
		}
	}
	return json.Marshal(edges)
}

// UnmarshalJSON reads [x0,y0,x1,y1]. It fails with ErrEdges for anything else, such as
// another count or a number beyond float32. The edges may be in any order; Valid checks
// it. As usual in encoding/json, null leaves b unchanged.
func (b *Box) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	// A fixed array would take any length, and a plain float32 would take null.
	var edges []*float32
	if err := json.Unmarshal(data, &edges); err != nil {
		return fmt.Errorf("%w: %w", ErrEdges, err)
	}
	if len(edges) != 4 {
		return fmt.Errorf("%w: found %d", ErrEdges, len(edges))
	}
	for i, edge := range edges {
		if edge == nil {
			return fmt.Errorf("%w: edge %d is null", ErrEdges, i)
		}
	}
	*b = Box{*edges[0], *edges[1], *edges[2], *edges[3]}
	return nil
}
