package box

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrEdges is what decoding and encoding a Box fails with when it isn't four
// finite numbers.
var ErrEdges = errors.New("a box is four finite numbers [x0,y0,x1,y1]")

// MarshalJSON writes b as [x0,y0,x1,y1], each with the fewest digits that give
// the same float32 back. An edge that is infinite or NaN is ErrEdges.
func (b Box) MarshalJSON() ([]byte, error) {
	edges := [4]float32{b.X0, b.Y0, b.X1, b.Y1}
	for i, edge := range edges {
		if !finite(edge) {
			return nil, fmt.Errorf("%w: edge %d of %v is %v", ErrEdges, i, edges, edge)
		}
	}
	return json.Marshal(edges)
}

// UnmarshalJSON reads [x0,y0,x1,y1]; anything else, such as another count or a
// number beyond float32, is ErrEdges. The edges may be in any order: ask Valid.
// As encoding/json has it, null leaves b as it was.
func (b *Box) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var edges []*float32 // a fixed array would take any length, a plain float32 would take null
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
