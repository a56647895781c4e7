package torch

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d tensors are still alive after all tests\n", n)
		code = 1
	}
	os.Exit(code)
}

func start(t testing.TB) *Engine {
	t.Helper()
	e, err := Start(CPU, 1) // go test runs packages side by side
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// odd returns the path of a small TorchScript archive in testdata/models/odd.
func odd(name string) string { return "../../../testdata/models/odd/" + name + ".pt" }
