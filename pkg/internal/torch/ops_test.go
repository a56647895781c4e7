package torch

import (
	"image"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestOps(t *testing.T) {
	e := start(t)
	for _, test := range []struct {
		name  string
		make  func(s *Scope) Tensor
		shape []int64
		want  []float32
	}{
		{"permute", func(s *Scope) Tensor { return s.Permute(Upload(s, []float32{1, 2, 3, 4, 5, 6}, 2, 3), 1, 0) }, []int64{3, 2}, []float32{1, 4, 2, 5, 3, 6}},
		{"reshape", func(s *Scope) Tensor { return s.Reshape(Upload(s, []float32{1, 2, 3, 4}, 4), 2, -1) }, []int64{2, 2}, []float32{1, 2, 3, 4}},
		{"slice", func(s *Scope) Tensor { return s.Slice(Upload(s, []float32{1, 2, 3, 4, 5, 6}, 2, 3), 1, 1, 9) }, []int64{2, 2}, []float32{2, 3, 5, 6}},
		{"cat", func(s *Scope) Tensor {
			a := Upload(s, []float32{1, 2}, 1, 2)
			return s.Cat(1, a, a)
		}, []int64{1, 4}, []float32{1, 2, 1, 2}},
		{"gather", func(s *Scope) Tensor {
			return s.Gather(Upload(s, []float32{1, 2, 3, 4}, 2, 2), 1, Upload(s, []int64{1, 1, 0, 0}, 2, 2))
		}, []int64{2, 2}, []float32{2, 2, 3, 3}},
		{"index select", func(s *Scope) Tensor {
			return s.IndexSelect(Upload(s, []float32{1, 2, 3, 4}, 2, 2), 0, Upload(s, []int64{1, 1, 0}, 3))
		}, []int64{3, 2}, []float32{3, 4, 3, 4, 1, 2}},
		{"expand", func(s *Scope) Tensor { return s.Expand(Upload(s, []float32{1, 2}, 2, 1), 2, 2) }, []int64{2, 2}, []float32{1, 1, 2, 2}},
		{"to", func(s *Scope) Tensor { return s.To(Upload(s, []uint8{3, 255}, 2), Float32) }, []int64{2}, []float32{3, 255}},
		{"matmul", func(s *Scope) Tensor {
			return s.Matmul(Upload(s, []float32{1, 2}, 1, 2), Upload(s, []float32{3, 4}, 2, 1))
		}, []int64{1, 1}, []float32{11}},
		{"add", func(s *Scope) Tensor {
			return s.Add(Upload(s, []float32{1, 2}, 2), Upload(s, []float32{3}, 1))
		}, []int64{2}, []float32{4, 5}},
		{"sub", func(s *Scope) Tensor {
			return s.Sub(Upload(s, []float32{1, 2}, 2), Upload(s, []float32{3}, 1))
		}, []int64{2}, []float32{-2, -1}},
		{"mul", func(s *Scope) Tensor {
			return s.Mul(Upload(s, []float32{1, 2}, 2), Upload(s, []float32{3}, 1))
		}, []int64{2}, []float32{3, 6}},
		{"div", func(s *Scope) Tensor {
			return s.Div(Upload(s, []float32{1, 2}, 2), Upload(s, []float32{4}, 1))
		}, []int64{2}, []float32{0.25, 0.5}},
		{"scale", func(s *Scope) Tensor { return s.Scale(Upload(s, []float32{1, 2}, 2), 10) }, []int64{2}, []float32{10, 20}},
		{"div by", func(s *Scope) Tensor { return s.DivBy(Upload(s, []float32{5, 255}, 2), 255) }, []int64{2}, []float32{5. / 255, 1}},
		{"softmax", func(s *Scope) Tensor { return s.Softmax(Upload(s, []float32{0, 0, 1000, 0}, 2, 2), 1) }, []int64{2, 2}, []float32{0.5, 0.5, 1, 0}},
		{"log of a sum of exponentials", func(s *Scope) Tensor {
			return s.LogSumExp(Upload(s, []float32{1000, -1000, 0, 0}, 2, 2), 1)
		}, []int64{2}, []float32{1000, math.Ln2}},
		{"sum", func(s *Scope) Tensor { return s.Sum(Upload(s, []float32{1, 2, 3, 4}, 2, 2), 1) }, []int64{2}, []float32{3, 7}},
		{"unit", func(s *Scope) Tensor { return s.Unit(Upload(s, []float32{3, 4, 0, 2}, 2, 2)) }, []int64{2, 2}, []float32{0.6, 0.8, 0, 1}},
		{"max", func(s *Scope) Tensor { return s.Max(Upload(s, []float32{1, 5, 9, 2}, 2, 2), 1) }, []int64{2}, []float32{5, 9}},
		{"argmax", func(s *Scope) Tensor {
			return s.To(s.ArgMax(Upload(s, []float32{1, 5, 9, 2}, 2, 2), 1), Float32)
		}, []int64{2}, []float32{1, 0}},
		{"logarithms", func(s *Scope) Tensor { return s.Log(Upload(s, []float32{1, math.E}, 2)) }, []int64{2}, []float32{0, 1}},
		{"top-k values", func(s *Scope) Tensor {
			values, _ := s.TopK(Upload(s, []float32{1, 5, 3}, 3), 2, 0)
			return values
		}, []int64{2}, []float32{5, 3}},
		{"top-k indices", func(s *Scope) Tensor {
			_, indices := s.TopK(Upload(s, []float32{1, 5, 3}, 3), 2, 0)
			return s.To(indices, Float32)
		}, []int64{2}, []float32{1, 2}},
	} {
		var got []float32
		var shape []int64
		if err := e.Do(t.Context(), func(s *Scope) error {
			out := test.make(s)
			shape, got = s.Shape(out), Download[float32](s, out)
			return nil
		}); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if len(shape) != len(test.shape) || len(got) != len(test.want) {
			t.Errorf("%s: got %v %v, want %v %v", test.name, shape, got, test.shape, test.want)
			continue
		}
		for i := range shape {
			if shape[i] != test.shape[i] {
				t.Errorf("%s: the shape is %v, want %v", test.name, shape, test.shape)
			}
		}
		for i := range got {
			if math.Abs(float64(got[i]-test.want[i])) > 1e-6 {
				t.Errorf("%s: got %v, want %v", test.name, got, test.want)
				break
			}
		}
	}
}

func TestCopiesCheckTheirShapeAndDType(t *testing.T) {
	e := start(t)
	err := e.Do(t.Context(), func(s *Scope) error { Upload(s, []uint8{1, 2, 3}, 2, 2); return nil })
	if err == nil || !strings.Contains(err.Error(), "don't fill") {
		t.Errorf("3 values for [2,2]: got %v", err)
	}
	err = e.Do(t.Context(), func(s *Scope) error { Download[float32](s, Upload(s, []int64{1}, 1)); return nil })
	if err == nil || !strings.Contains(err.Error(), "int64, not float32") {
		t.Errorf("int64 read as float32: got %v", err)
	}
	if err := e.Do(t.Context(), func(s *Scope) error {
		if got := Download[float32](s, Upload(s, []float32{}, 0, 5)); len(got) != 0 {
			t.Errorf("an empty tensor gave %v", got)
		}
		return nil
	}); err != nil {
		t.Errorf("an empty tensor: %v", err)
	}
}

// TestBothWaysToResampleAgree compares libtorch's operations, which a GPU uses, with our
// own loops, which the CPU uses. Both sum in float32, in another order, so a value may
// round the other way.
func TestBothWaysToResampleAgree(t *testing.T) {
	const width, height, size = 67, 153, 16
	random := rand.New(rand.NewPCG(3, 4))
	pixels := make([]uint8, 3*width*height)
	for i := range pixels {
		pixels[i] = uint8(random.IntN(256))
	}
	var pieces []Piece
	for range 100 {
		x, y := random.IntN(width), random.IntN(height)
		p := Piece{
			From:  image.Rect(x, y, x+1+random.IntN(width-x), y+1+random.IntN(height-y)),
			Width: 1 + random.IntN(3*size), Height: 1 + random.IntN(3*size),
		}
		w, h := 1+random.IntN(min(size, p.Width)), 1+random.IntN(min(size, p.Height))
		p.Left, p.Top = random.IntN(p.Width-w+1), random.IntN(p.Height-h+1)
		left, top := random.IntN(size-w+1), random.IntN(size-h+1)
		p.To = image.Rect(left, top, left+w, top+h)
		pieces = append(pieces, p)
	}
	for _, threads := range []int{1, 3} {
		e, err := Start(CPU, threads)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		var host, ops []float32
		if err := e.Do(t.Context(), func(s *Scope) error {
			picture := Upload(s, pixels, 1, 3, height, width)
			host = Download[float32](s, s.Resample(picture, pieces, size, []float32{1, 2, 3}))
			across, down := axes(s, pieces)
			ops = Download[float32](s, s.ResampleInOps(picture, across, down, size, []float32{1, 2, 3}, false))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		differ := 0
		for i := range ops {
			if math.Abs(float64(host[i]-ops[i])) > 2 {
				t.Fatalf("%d threads: value %d of piece %+v is %v in our loops and %v in libtorch's operations",
					threads, i%(3*size*size), pieces[i/(3*size*size)], host[i], ops[i])
			}
			if host[i] != ops[i] {
				differ++
			}
		}
		if differ > len(ops)/1000 {
			t.Errorf("%d threads: %d of %d values differ", threads, differ, len(ops))
		}
	}
}

// axes uploads how pieces lie along x and y.
func axes(s *Scope, pieces []Piece) (across, down Axis) {
	column := func(of func(Piece) int) Tensor {
		values := make([]float32, len(pieces))
		for i, p := range pieces {
			values[i] = float32(of(p))
		}
		return s.To(Upload(s, values, int64(len(pieces)), 1), Float64)
	}
	across = Axis{
		From: column(func(p Piece) int { return p.From.Min.X }), Length: column(func(p Piece) int { return p.From.Dx() }),
		Resized: column(func(p Piece) int { return p.Width }), Kept: column(func(p Piece) int { return p.Left }),
		To: column(func(p Piece) int { return p.To.Min.X }), Samples: column(func(p Piece) int { return p.To.Dx() }),
	}
	down = Axis{
		From: column(func(p Piece) int { return p.From.Min.Y }), Length: column(func(p Piece) int { return p.From.Dy() }),
		Resized: column(func(p Piece) int { return p.Height }), Kept: column(func(p Piece) int { return p.Top }),
		To: column(func(p Piece) int { return p.To.Min.Y }), Samples: column(func(p Piece) int { return p.To.Dy() }),
	}
	return across, down
}

func TestResampleRefusesPiecesThatDontFit(t *testing.T) {
	e := start(t)
	good := Piece{From: image.Rect(0, 0, 4, 4), Width: 2, Height: 2, To: image.Rect(0, 0, 2, 2)}
	for name, change := range map[string]func(p *Piece){
		"nothing":                func(*Piece) {},
		"a source outside":       func(p *Piece) { p.From = image.Rect(0, 0, 5, 4) },
		"an empty source":        func(p *Piece) { p.From = image.Rect(2, 2, 2, 4) },
		"a target outside":       func(p *Piece) { p.To = image.Rect(1, 1, 3, 3) },
		"a part beyond the size": func(p *Piece) { p.Left = 1 },
		"no size":                func(p *Piece) { p.Width = 0 },
	} {
		piece := good
		change(&piece)
		err := e.Do(t.Context(), func(s *Scope) error {
			s.Resample(Upload(s, make([]uint8, 48), 1, 3, 4, 4), []Piece{good, piece}, 2, []float32{0, 0, 0})
			return nil
		})
		if (name == "nothing") != (err == nil) {
			t.Errorf("%s changed: got %v", name, err)
		}
	}
}
