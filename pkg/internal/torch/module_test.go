package torch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func load(t testing.TB, e *Engine, path string) (m *Module) {
	t.Helper()
	if err := e.Do(t.Context(), func(s *Scope) (err error) {
		m, err = s.Load(path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestUnloadFreesTheModule(t *testing.T) {
	e := start(t)
	kept, gone := load(t, e, odd("adder")), load(t, e, odd("three"))
	if err := e.Do(t.Context(), func(s *Scope) error {
		s.Unload(gone)
		a := Upload(s, []float32{1, 2}, 2)
		if got := Download[float32](s, s.Forward(kept, a, a)); !slices.Equal(got, []float32{2, 4}) {
			t.Errorf("the other module gave %v, want [2 4]", got)
		}
		if n := len(e.modules); n != 1 {
			t.Errorf("the engine has %d modules, want 1", n)
		}
		return s.Err()
	}); err != nil {
		t.Fatal(err)
	}
}

func TestCallResults(t *testing.T) {
	e := start(t)
	adder, three := load(t, e, odd("adder")), load(t, e, odd("three"))
	if err := e.Do(t.Context(), func(s *Scope) error {
		a := Upload(s, []float32{1, 2}, 2)
		if got := Download[float32](s, s.Forward(adder, a, a)); !slices.Equal(got, []float32{2, 4}) {
			t.Errorf("adder gave %v, want [2 4]", got)
		}
		out := s.Call(three, "forward", 3, a)
		for i, want := range [][]float32{{1, 2}, {2, 3}, {2, 4}} {
			if got := Download[float32](s, out[i]); !slices.Equal(got, want) {
				t.Errorf("result %d is %v, want %v", i, got, want)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestCallErrors(t *testing.T) {
	e := start(t)
	adder, three, throws := load(t, e, odd("adder")), load(t, e, odd("three")), load(t, e, odd("throws"))
	for _, test := range []struct {
		name    string
		module  *Module
		method  string
		results int
		inputs  int
		want    string
	}{
		{"no such method", adder, "backward", 1, 2, "backward"},
		{"too few arguments", adder, "forward", 1, 1, "missing value"},
		{"too many arguments", adder, "forward", 1, 3, "argument"},
		{"more results than there are", three, "forward", 4, 1, "has 3 tensors, and 4 are expected"},
		{"fewer results than there are", three, "forward", 1, 1, "has 3 tensors, and 1 are expected"},
		{"a tuple of a tensor", adder, "forward", 2, 2, "has 1 tensors, and 2 are expected"},
		{"the module throws", throws, "forward", 1, 1, "this module always fails"},
	} {
		before := Live()
		err := e.Do(t.Context(), func(s *Scope) error {
			inputs := make([]Tensor, test.inputs)
			for i := range inputs {
				inputs[i] = Upload(s, []float32{1, 2}, 2)
			}
			s.Call(test.module, test.method, test.results, inputs...)
			return nil
		})
		if !errors.Is(err, ErrLibtorch) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %q, want one line with %q", test.name, err, test.want)
		}
		if n := Live() - before; n != 0 {
			t.Errorf("%s: %d tensors are left", test.name, n)
		}
	}
}

func TestCallOfAnotherEnginesModule(t *testing.T) {
	adder := load(t, start(t), odd("adder"))
	err := start(t).Do(t.Context(), func(s *Scope) error {
		a := Upload(s, []float32{1}, 1)
		s.Forward(adder, a, a)
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "another engine") {
		t.Errorf("got %v", err)
	}
}

func TestLoadErrors(t *testing.T) {
	e := start(t)
	dir := t.TempDir()
	whole, err := os.ReadFile(odd("adder"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"empty.pt": {}, "text.pt": []byte("not an archive"), "half.pt": whole[:len(whole)/2]} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		file string
		want error
	}{{"none.pt", fs.ErrNotExist}, {"empty.pt", ErrLibtorch}, {"text.pt", ErrLibtorch}, {"half.pt", ErrLibtorch}} {
		err := e.Do(t.Context(), func(s *Scope) error {
			_, err := s.Load(filepath.Join(dir, test.file))
			return err
		})
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.file) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %q, want one line that names it and is %v", test.file, err, test.want)
		}
	}
}

// TestCallsDontGrowTheProcess makes 300 calls after 100. If each lost one of its results,
// the process would grow by 20 MB.
func TestCallsDontGrowTheProcess(t *testing.T) {
	e := start(t)
	three := load(t, e, odd("three"))
	calls := func(n int) {
		for range n {
			if err := e.Do(t.Context(), func(s *Scope) error {
				s.Call(three, "forward", 3, Upload(s, make([]float32, 16<<10), 16<<10))
				s.Call(three, "forward", 2, Upload(s, make([]float32, 16<<10), 16<<10))
				return nil
			}); err == nil {
				t.Fatal("the wrong number of results was accepted")
			}
		}
	}
	calls(100)
	before := resident(t)
	calls(300)
	if grown := resident(t) - before; grown > 10<<20 {
		t.Errorf("the process grew by %d MB in 300 calls", grown>>20)
	}
}

// resident returns the resident memory of the process in bytes.
func resident(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for _, c := range strings.Fields(string(text))[1] {
		pages = pages*10 + int(c-'0')
	}
	return pages * os.Getpagesize()
}
