package eval

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// id is a whole number, as tools write it: 1, 1.0, "1" or "000001".
type id int64

func (i *id) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		return nil // a pointer stays nil
	}
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		text = strings.TrimSuffix(quoted, `"`)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		*i = id(n)
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v != math.Trunc(v) {
		return fmt.Errorf("%w: the id %s is no whole number", ErrFormat, data)
	}
	if math.Abs(v) > 1<<53 { // a float64 may be another number than the text
		return fmt.Errorf("%w: the id %s is too large: up to 2^63-1 can be, and with a point or an exponent up to 2^53", ErrFormat, data)
	}
	*i = id(v)
	return nil
}

// ids are a list of them, nil if there is none.
func ids(list []id) []int64 {
	if list == nil {
		return nil
	}
	numbers := make([]int64, len(list))
	for i, n := range list {
		numbers[i] = int64(n)
	}
	return numbers
}
