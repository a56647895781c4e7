package main

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// arrays writes numpy's .npz: a zip of .npy files
// (numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
type arrays struct {
	zip   *zip.Writer
	count int
}

func newArrays(w io.Writer) *arrays { return &arrays{zip: zip.NewWriter(w)} }

// add writes the next array: values in row-major order, of a shape that they fill.
func add[T uint8 | int64 | float32 | float64](a *arrays, values []T, shape ...int) error {
	size := 1
	var sides strings.Builder
	for _, n := range shape {
		size *= n
		fmt.Fprintf(&sides, "%d,", n)
	}
	if size != len(values) {
		return fmt.Errorf("array %d: %d values don't fill the shape %v", a.count, len(values), shape)
	}
	kind := map[any]string{uint8(0): "|u1", int64(0): "<i8", float32(0): "<f4", float64(0): "<f8"}[any(*new(T))]
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", kind, sides.String())
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%d.npy", a.count), Method: zip.Store})
	if err != nil {
		return err
	}
	a.count++
	prefix := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header)))
	if _, err := w.Write(append(prefix, header...)); err != nil {
		return err
	}
	return binary.Write(w, binary.LittleEndian, values)
}

func (a *arrays) close() error { return a.zip.Close() }
