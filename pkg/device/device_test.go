package device_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/clipdet/clipdet/pkg/device"
	"github.com/clipdet/clipdet/pkg/internal/torch"
	"github.com/clipdet/clipdet/pkg/internal/torchtest"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

func TestResolve(t *testing.T) {
	best := "cpu"
	if device.GPUs() > 0 {
		best = "cuda:0"
	}
	for name, want := range map[string]string{"cpu": "cpu", "": best, "auto": best} {
		if got, err := device.Resolve(name); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", name, got, err, want)
		}
	}
	if _, err := device.Resolve("gpu"); !errors.Is(err, torch.ErrDevice) {
		t.Errorf("a misspelt device gives %v, want ErrDevice", err)
	}
}

func TestInspectWantsAGPU(t *testing.T) {
	for _, name := range []string{"cpu", "cuda:999", "gpu"} {
		if gpu, err := device.Inspect(name); !errors.Is(err, torch.ErrDevice) {
			t.Errorf("%q: got %+v, %v, want ErrDevice", name, gpu, err)
		}
	}
}

func TestPeakRate(t *testing.T) {
	rate, n, err := device.PeakRate(t.Context(), "cpu", "float32", 1, 0)
	if err != nil || rate < 1e8 || n <= 0 {
		t.Errorf("got %v operations a second of %d x %d, %v", rate, n, n, err)
	}
	if _, _, err := device.PeakRate(t.Context(), "cpu", "int3", 1, 0); err == nil {
		t.Error("an unknown type is measured")
	}
}

func TestRunningLibtorch(t *testing.T) {
	lib, err := device.RunningLibtorch()
	if err != nil || lib.Problem() != "" || !filepath.IsAbs(lib.Dir) || lib.DriverNeeded() == "" {
		t.Errorf("got %+v, %v, want a supported version in a whole path", lib, err)
	}
}
