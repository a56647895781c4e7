package archive

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// TestGenerate compares inputs with numbers that Python's unbounded integers gave for the
// recurrence.
func TestGenerate(t *testing.T) {
	answer := valid(RPN).KnownAnswer
	answer.Seed = 42
	answer.Inputs = []KnownInput{
		{Shape: []int64{2, 3}, DType: "uint8", Values: "bytes"},
		{Shape: []int64{1, 2}, DType: "float32", Values: "unit"},
		{Shape: []int64{2, 9}, DType: "int64", Values: "tokens"},
		{Shape: []int64{2, 2}, DType: "int64", Literal: [][]int64{{5, 6}, {7, 8}}},
	}
	got, err := answer.Generate()
	if err != nil {
		t.Fatal(err)
	}
	want := []Array{
		{[]int64{2, 3}, []uint8{118, 82, 210, 31, 86, 12}},
		{[]int64{1, 2}, []float32{217.0 / 255, 150.0 / 255}},
		{[]int64{2, 9}, []int64{49406, 44167, 42126, 4305, 31391, 34883, 515, 49407, 0, 49406, 25389, 22310, 28411, 43100, 46770, 16345, 49407, 0}},
		{[]int64{2, 2}, []int64{5, 6, 7, 8}},
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("input %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

func TestCompare(t *testing.T) {
	answer := KnownAnswer{
		Outputs: []KnownOutput{
			{Shape: []int64{1, 3}, Sum: 98.5, AbsSum: 101.5, Values: []float64{100, -1.5}},
			{Shape: []int64{1}, Sum: 2, AbsSum: 2, Values: []float64{2}},
		},
		Tolerance: 1e-3,
	}
	floats := func(v ...float32) Array { return Array{[]int64{1, int64(len(v))}, v} }
	count := Array{[]int64{1}, []int64{2}}
	nan := float32(math.NaN())
	tests := []struct {
		name    string
		outputs []Array
		says    string // "" if the answer is right
	}{
		{"exact", []Array{floats(100, -1.5, 0), count}, ""},
		{"within, relative to the value", []Array{floats(100.05, -1.5, 0), count}, ""},
		{"a value off", []Array{floats(100.2, -1.5, 0), count}, "output 0 value 0"},
		{"a small value off", []Array{floats(100, -1.504, 0), count}, "output 0 value 1"},
		{"a value that is not kept off", []Array{floats(100, -1.5, 1), count}, "output 0 sum"},
		{"signs that cancel", []Array{{[]int64{1, 3}, []float32{100, -1.5, 0}}, {[]int64{1}, []int64{3}}}, "output 1 value 0"},
		{"NaN kept", []Array{floats(nan, -1.5, 0), count}, "NaN"},
		{"NaN elsewhere", []Array{floats(100, -1.5, nan), count}, "NaN"},
		{"shape", []Array{floats(100, -1.5), count}, "shape [1 2]"},
		{"fewer outputs", []Array{count}, "1 outputs"},
		{"type", []Array{{[]int64{1, 3}, []string{"a", "b", "c"}}, count}, "[]string"},
	}
	for _, test := range tests {
		difference, err := answer.Compare(test.outputs)
		if test.says == "" {
			if err != nil || difference > answer.Tolerance {
				t.Errorf("%s: got difference %v and %v, want a pass", test.name, difference, err)
			}
			continue
		}
		if !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want ErrAnswer that says %q", test.name, err, test.says)
		}
	}
	// More values than the output has, as in no valid manifest.
	answer.Outputs[1].Values = []float64{2, 0}
	if _, err := answer.Compare([]Array{floats(100, -1.5, 0), count}); !errors.Is(err, ErrAnswer) {
		t.Errorf("more known values than values: got %v, want ErrAnswer", err)
	}
}
