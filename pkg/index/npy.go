package index

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// npyHeader is the length of the header of an .npy file of this package.
const npyHeader = 128

// header returns the header of a float16 array [n,d] in C order, by NumPy's format 1.0
// (numpy.lib.format).
func header(n, d int) []byte {
	const magic = "\x93NUMPY\x01\x00"
	about := fmt.Sprintf("{'descr': '<f2', 'fortran_order': False, 'shape': (%d, %d), }", n, d)
	about += strings.Repeat(" ", npyHeader-len(magic)-2-len(about)-1) + "\n"
	return append(binary.LittleEndian.AppendUint16([]byte(magic), uint16(len(about))), about...) //nolint:gosec // it is 118
}

// vectors are the mapped embeddings of a shard.
type vectors struct {
	mapped []byte
	values []uint16 // [N,D]
}

// vectors maps the embeddings. The system reads the whole file before it returns, so that
// another goroutine than the engine's waits for the disk.
func (s shard) vectors() (vectors, error) {
	if s.Regions == 0 {
		return vectors{}, nil
	}
	file, err := os.Open(s.path("npy"))
	if err != nil {
		return vectors{}, err
	}
	defer file.Close()
	size := npyHeader + 2*s.Regions*s.Made.Width
	if info, err := file.Stat(); err != nil || info.Size() != int64(size) {
		return vectors{}, fmt.Errorf("%s: %w: not %d bytes long", file.Name(), ErrDamaged, size)
	}
	mapped, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED|syscall.MAP_POPULATE) //nolint:gosec // a descriptor fits
	if err != nil {
		return vectors{}, fmt.Errorf("%s: map: %w", file.Name(), err)
	}
	if string(mapped[:npyHeader]) != string(header(s.Regions, s.Made.Width)) {
		_ = syscall.Munmap(mapped) // the other error matters
		return vectors{}, fmt.Errorf("%s: %w: its header is not of %d x %d float16", file.Name(), ErrDamaged, s.Regions, s.Made.Width)
	}
	// All processors that libtorch runs on here are little-endian, as the file is.
	values := unsafe.Slice((*uint16)(unsafe.Pointer(&mapped[npyHeader])), s.Regions*s.Made.Width)
	return vectors{mapped, values}, nil
}

func (v vectors) close() {
	if v.mapped != nil {
		_ = syscall.Munmap(v.mapped) // fails only for memory that isn't mapped
	}
}
