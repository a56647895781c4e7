package archive

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrAnswer is returned if an archive's answer isn't its known answer.
var ErrAnswer = errors.New("answer differs from the known answer")

// KnownAnswer is a test that an archive carries: inputs that any program can make from a
// seed, and the archive's answer to them at its export. [KnownAnswer.Generate] makes the
// inputs, and [KnownAnswer.Compare] judges the outputs.
type KnownAnswer struct {
	Seed      uint64        `json:"seed"`
	Inputs    []KnownInput  `json:"inputs"`
	Outputs   []KnownOutput `json:"outputs"`
	Tolerance float64       `json:"tolerance"`
}

// KnownInput describes one argument of the archive's forward. Its values are from a
// generator, bytes, unit or tokens, or are Literal: int64 of shape [rows, columns], with
// Values empty.
type KnownInput struct {
	Shape   []int64   `json:"shape"`
	DType   string    `json:"dtype"` // uint8, float32 or int64
	Values  string    `json:"values,omitempty"`
	Literal [][]int64 `json:"literal,omitempty"`
}

// KnownOutput is what is kept of one output: its shape, the sum of its values and of
// their magnitudes, and its first 16 values or fewer.
type KnownOutput struct {
	Shape  []int64   `json:"shape"`
	Sum    float64   `json:"sum"`
	AbsSum float64   `json:"abs_sum"`
	Values []float64 `json:"values"`
}

// Array is a dense array on the host, row-major.
type Array struct {
	Shape []int64
	Data  any // []uint8, []float32 or []int64, as many as Shape says
}

// elementLimit bounds an input or output of a known answer, so that a broken manifest
// can't use up all memory.
const elementLimit = 1 << 26

// generators maps each generator to the dtype of its values.
var generators = map[string]string{"bytes": "uint8", "unit": "float32", "tokens": "int64"}

const (
	startToken = 49406
	endToken   = 49407
)

// Generate returns the inputs, one Array for each argument of forward. The caller owns
// them.
//
// Values come from the 64-bit generator x = x*6364136223846793005 + 1442695040888963407
// (Knuth's MMIX). It starts at Seed and takes one step before each value. Of x, the upper
// 31 bits u are used: "bytes" are u%256 as uint8, "unit" is u%256/255 as float32, and
// "tokens" are int64 rows of start, six of u%49000+1, end, and zeros. The inputs share
// one generator, in their order.
func (k KnownAnswer) Generate() ([]Array, error) {
	var c checks
	if c.knownAnswer(k); len(c) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrManifest, c[0])
	}
	x := k.Seed
	next := func() uint64 {
		x = x*6364136223846793005 + 1442695040888963407
		return x >> 33
	}
	arrays := make([]Array, len(k.Inputs))
	for i, in := range k.Inputs {
		n, _ := elements(in.Shape)
		arrays[i].Shape = in.Shape
		switch {
		case in.Literal != nil:
			values := make([]int64, 0, n)
			for _, row := range in.Literal {
				values = append(values, row...)
			}
			arrays[i].Data = values
		case in.Values == "bytes":
			values := make([]uint8, n)
			for j := range values {
				values[j] = uint8(next() % 256)
			}
			arrays[i].Data = values
		case in.Values == "unit":
			values := make([]float32, n)
			for j := range values {
				values[j] = float32(next()%256) / 255
			}
			arrays[i].Data = values
		case in.Values == "tokens":
			values := make([]int64, n)
			width := int(in.Shape[1])
			for row := 0; row < n; row += width {
				values[row] = startToken
				for j := 1; j <= 6; j++ {
					values[row+j] = int64(next()%49000) + 1
				}
				values[row+7] = endToken
			}
			arrays[i].Data = values
		}
	}
	return arrays, nil
}

// Compare compares outputs, as []float32 or []int64 arrays, with the known answer. It
// returns the largest difference: for a value relative to max(1, |expected value|), and
// for a sum relative to max(1, abs_sum). It fails with [ErrAnswer] if the difference is
// above Tolerance, if a value is NaN, or if the number or a shape of the outputs differs.
func (k KnownAnswer) Compare(outputs []Array) (float64, error) {
	if len(outputs) != len(k.Outputs) {
		return 0, fmt.Errorf("%w: %d outputs, want %d", ErrAnswer, len(outputs), len(k.Outputs))
	}
	worst, where := 0.0, ""
	for i, want := range k.Outputs {
		values, err := float64s(outputs[i])
		if err != nil {
			return 0, fmt.Errorf("output %d: %w", i, err)
		}
		if n, err := elements(want.Shape); err != nil || fmt.Sprint(outputs[i].Shape) != fmt.Sprint(want.Shape) || n != len(values) {
			return 0, fmt.Errorf("%w: output %d has shape %v and %d values, want shape %v", ErrAnswer, i, outputs[i].Shape, len(values), want.Shape)
		}
		if len(want.Values) > len(values) {
			return 0, fmt.Errorf("%w: output %d has %d values, and %d are known", ErrAnswer, i, len(values), len(want.Values))
		}
		var sum, absSum float64
		for _, v := range values {
			sum += v
			absSum += math.Abs(v)
		}
		note := func(what string, got, want, scale float64) {
			if d := math.Abs(got-want) / max(1, math.Abs(scale)); !(d <= worst) {
				worst, where = d, fmt.Sprintf("output %d %s is %v, want %v", i, what, got, want)
			}
		}
		for j, v := range want.Values {
			note(fmt.Sprintf("value %d", j), values[j], v, v)
		}
		note("sum", sum, want.Sum, want.AbsSum)
		note("sum of magnitudes", absSum, want.AbsSum, want.AbsSum)
		if math.IsNaN(worst) {
			break // NaN is the worst
		}
	}
	if !(worst <= k.Tolerance) {
		return worst, fmt.Errorf("%w: %s (difference %.3g, tolerance %.3g)", ErrAnswer, where, worst, k.Tolerance)
	}
	return worst, nil
}

func float64s(a Array) ([]float64, error) {
	switch data := a.Data.(type) {
	case []float32:
		return widen(data), nil
	case []int64:
		return widen(data), nil
	}
	return nil, fmt.Errorf("%w: want []float32 or []int64, got %T", ErrAnswer, a.Data)
}

func widen[T float32 | int64](data []T) []float64 {
	wide := make([]float64, len(data))
	for i, v := range data {
		wide[i] = float64(v)
	}
	return wide
}

// elements returns the product of a shape. Each side must be at least 1.
func elements(shape []int64) (int, error) {
	n := int64(1)
	for _, side := range shape {
		if side < 1 || side > elementLimit {
			return 0, fmt.Errorf("shape %v: sides must be 1 to %d", shape, elementLimit)
		}
		if n *= side; n > elementLimit {
			return 0, fmt.Errorf("shape %v: more than %d values", shape, elementLimit)
		}
	}
	return int(n), nil
}

func (c *checks) knownAnswer(k KnownAnswer) {
	if len(k.Inputs) == 0 {
		c.fail("known_answer.inputs", "missing")
	}
	if len(k.Outputs) == 0 {
		c.fail("known_answer.outputs", "missing")
	}
	c.positive("known_answer.tolerance", k.Tolerance, 1)
	for i, in := range k.Inputs {
		if problem := in.problem(); problem != "" {
			c.fail(fmt.Sprintf("known_answer.inputs[%d]", i), "%s", problem)
		}
	}
	for i, out := range k.Outputs {
		field := fmt.Sprintf("known_answer.outputs[%d]", i)
		if n, err := elements(out.Shape); err != nil {
			c.fail(field, "%v", err)
		} else if len(out.Values) == 0 || len(out.Values) > min(n, 16) {
			c.fail(field, "%d values kept of %d, want 1 to %d", len(out.Values), n, min(n, 16))
		}
		if out.AbsSum < 0 || math.Abs(out.Sum) > out.AbsSum*(1+1e-6)+1e-6 {
			c.fail(field, "sum %v does not fit abs_sum %v", out.Sum, out.AbsSum)
		}
	}
}

// forward compares the shapes of a valid known answer with the shapes that forward has
// for the kind. Here 0 is a side that the contract leaves free.
func (c *checks) forward(m Manifest) {
	var b int64
	if first := m.KnownAnswer.Inputs[0].Shape; len(first) > 0 {
		b = first[0]
	}
	k, s, d := int64(m.Proposals), int64(m.InputSize), int64(m.EmbeddingWidth)
	var in, out [][]int64
	switch m.Kind {
	case RPN:
		in, out = [][]int64{{b, 3, 0, 0}, {b, 2}}, [][]int64{{b, k, 5}, {b}}
	case CLIPImage:
		in, out = [][]int64{{b, 3, s, s}}, [][]int64{{b, d}}
	case CLIPText:
		in, out = [][]int64{{b, 0}}, [][]int64{{b, d}}
	}
	inputs, outputs := make([][]int64, len(m.KnownAnswer.Inputs)), make([][]int64, len(m.KnownAnswer.Outputs))
	for i, input := range m.KnownAnswer.Inputs {
		inputs[i] = input.Shape
	}
	for i, output := range m.KnownAnswer.Outputs {
		outputs[i] = output.Shape
	}
	if !slices.EqualFunc(inputs, in, sameShape) {
		c.fail("known_answer.inputs", "shapes %v are not those of %s, %v with any side for 0", inputs, m.Kind, in)
	}
	if !slices.EqualFunc(outputs, out, sameShape) {
		c.fail("known_answer.outputs", "shapes %v are not those of %s, %v", outputs, m.Kind, out)
	}
}

// sameShape reports whether a shape is want, in which 0 stands for any side.
func sameShape(shape, want []int64) bool {
	return slices.EqualFunc(shape, want, func(side, want int64) bool { return want == 0 || side == want })
}

func (in KnownInput) problem() string {
	n, err := elements(in.Shape)
	if err != nil {
		return err.Error()
	}
	if in.Literal != nil {
		if in.DType != "int64" || len(in.Shape) != 2 || int(in.Shape[0]) != len(in.Literal) {
			return fmt.Sprintf("a literal must be int64 of shape [rows, columns]; %s %v has %d rows", in.DType, in.Shape, len(in.Literal))
		}
		for _, row := range in.Literal {
			if len(row) != int(in.Shape[1]) {
				return fmt.Sprintf("a literal row has %d values, shape is %v", len(row), in.Shape)
			}
		}
		return ""
	}
	if dtype, ok := generators[in.Values]; !ok || in.DType != dtype {
		return fmt.Sprintf("values %q of dtype %q: want bytes of uint8, unit of float32 or tokens of int64", in.Values, in.DType)
	}
	if in.Values == "tokens" && (len(in.Shape) != 2 || n < 8*int(in.Shape[0])) {
		return fmt.Sprintf("tokens want shape [rows, at least 8], got %v", in.Shape)
	}
	return ""
}
