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
	for i := range CUDADevices() {
		if gpu, err := CUDA(i).GPU(); err != nil || gpu.Name == "" || gpu.InUse <= 0 || gpu.InUse > gpu.Memory {
			t.Errorf("cuda:%d is %+v (%v)", i, gpu, err)
		}
	}
}
