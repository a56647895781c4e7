package files

import (
	"os"
	"syscall"
)

// Open opens a file for reading without blocking. A pipe without a writer reads as empty.
func Open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}
