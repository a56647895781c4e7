package torch

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// MaxThreads is far more threads than help. libgomp ends the process if the system has no
// thread left for it.
const MaxThreads = 1024

// DefaultThreads is how many CPU threads an operation uses where no number is given: that
// of OMP_NUM_THREADS, at most MaxThreads, or else GOMAXPROCS, which Go sets to the
// processors that this process may use, a container's limit included.
func DefaultThreads() int {
	if n := ompThreads(os.Getenv("OMP_NUM_THREADS")); n > 0 {
		return min(n, MaxThreads)
	}
	return runtime.GOMAXPROCS(0)
}

// ompThreads reads the value of OMP_NUM_THREADS, a list with a number for each level of
// nested work, of which the first counts here. It is 0 for what libgomp doesn't take either.
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
