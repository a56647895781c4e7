package torch

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// MaxThreads is far more threads than help. libgomp ends the process if the system has no
// thread left.
const MaxThreads = 1024

// DefaultThreads returns the number of CPU threads of an operation if none is given:
// OMP_NUM_THREADS, but at most MaxThreads, or else GOMAXPROCS. Go sets GOMAXPROCS to the
// processors that the process may use, within a container's limit.
func DefaultThreads() int {
	if n := ompThreads(os.Getenv("OMP_NUM_THREADS")); n > 0 {
		return min(n, MaxThreads)
	}
	return runtime.GOMAXPROCS(0)
}

// ompThreads returns the first number of OMP_NUM_THREADS, which is a list with a number
// for each level of nested work. It returns 0 if libgomp doesn't accept the value either.
func ompThreads(value string) int {
	first := 0
	for i, word := range strings.Split(value, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(word), 10, 31)
		if err != nil || n == 0 {
			return 0
		}
		if i == 0 {
			first = int(n)
		}
	}
	return first
}
