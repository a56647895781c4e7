package torch

import (
	"errors"
	"testing"
)

func TestGPU(t *testing.T) {
	if gpu, err := CPU.GPU(); !errors.Is(err, ErrDevice) {
		t.Errorf("the CPU is a GPU: %v, %v", gpu, err)
	}
	if gpu, err := CUDA(CUDADevices()).GPU(); !errors.Is(err, ErrDevice) {
		t.Errorf("a GPU that isn't there: %v, %v", gpu, err)
	}
	for _, device := range []Device{CPU, CUDA(CUDADevices())} {
		if major, minor, err := device.Capability(); !errors.Is(err, ErrDevice) {
			t.Errorf("%v has the compute capability %d.%d (%v), want ErrDevice", device, major, minor, err)
		}
	}
	for i := range CUDADevices() {
		// libtorch runs on no GPU before 3.0.
		if major, _, err := CUDA(i).Capability(); err != nil || major < 3 {
			t.Errorf("cuda:%d has the compute capability %d (%v)", i, major, err)
		}
		if gpu, err := CUDA(i).GPU(); err != nil || gpu.Name == "" || gpu.InUse <= 0 || gpu.InUse > gpu.Memory {
			t.Errorf("cuda:%d is %+v (%v)", i, gpu, err)
		}
	}
}
