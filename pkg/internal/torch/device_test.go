package torch

import (
	"errors"
	"fmt"
	"testing"
)

func TestParseDevice(t *testing.T) {
	count := CUDADevices()
	best := CPU
	if count > 0 {
		best = CUDA(0)
	}
	for name, want := range map[string]Device{"cpu": CPU, "auto": best, "": best} {
		if got, err := ParseDevice(name); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", name, got, err, want)
		}
	}
	for i := range count {
		if got, err := ParseDevice(fmt.Sprintf("cuda:%d", i)); err != nil || got != CUDA(i) {
			t.Errorf("cuda:%d: got %v, %v", i, got, err)
		}
	}
	for _, name := range []string{"gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cpu:0", fmt.Sprintf("cuda:%d", count), "cuda:99999999999999999999"} {
		if got, err := ParseDevice(name); !errors.Is(err, ErrDevice) {
			t.Errorf("%q: got %v, %v, want ErrDevice", name, got, err)
		}
	}
	for name, want := range map[string]error{"cpu": nil, "auto": nil, "cuda": nil, fmt.Sprintf("cuda:%d", count): nil, "gpu": ErrDevice, "cuda:-1": ErrDevice} {
		if err := CheckDevice(name); !errors.Is(err, want) {
			t.Errorf("the name %q: got %v, want %v", name, err, want)
		}
	}
}

func TestDeviceString(t *testing.T) {
	for want, device := range map[string]Device{"cpu": CPU, "cuda:0": CUDA(0), "cuda:3": CUDA(3)} {
		if got := device.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
