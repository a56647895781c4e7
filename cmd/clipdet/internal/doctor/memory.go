package doctor

import (
	"bufio"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// addressLimit is the name of the limit on the address space in a shell.
const addressLimit = "ulimit -v"

// freeMemory is how much memory this process may still take.
type freeMemory struct {
	free  int64  // bytes
	total int64  // bytes of the machine
	limit string // limit that sets free, "": the machine
}

// readMemory returns the free memory of the machine, bounded by the limits of the
// process's control groups and of its address space. root is the root of the file system.
// It reads control groups of version 1 and 2, and the groups above each group.
func readMemory(root fs.FS) (freeMemory, error) {
	machine, err := numbers(root, "proc/meminfo")
	if err != nil {
		return freeMemory{}, err
	}
	m := freeMemory{free: machine["MemAvailable"] << 10, total: machine["MemTotal"] << 10}
	for _, g := range memoryGroups(root) {
		// Cached file pages count as in use, but the kernel frees them when memory is
		// needed. If memory.stat can't be read, no page counts as free.
		stat, _ := numbers(root, g.path+"/memory.stat")
		m.limitTo(number(root, g.path+"/"+g.limit, math.MaxInt64)-number(root, g.path+"/"+g.usage, 0)+stat["inactive_file"], "the control group's limit")
	}
	// If status can't be read, VmSize counts as 0.
	status, _ := numbers(root, "proc/self/status")
	m.limitTo(addressSpace(root)-status["VmSize"]<<10, addressLimit)
	return m, nil
}

func (m *freeMemory) limitTo(free int64, by string) {
	if free < m.free {
		m.free, m.limit = max(0, free), by
	}
}

// group is the directory of a control group, and the names of its files for the limit and
// the usage.
type group struct{ path, limit, usage string }

func memoryGroups(root fs.FS) []group {
	var groups []group
	for _, line := range lines(root, "proc/self/cgroup") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		g := group{"sys/fs/cgroup", "memory.max", "memory.current"}
		if parts[1] != "" {
			g = group{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"}
			if parts[1] != "memory" {
				continue
			}
		}
		for at := path.Clean("/" + parts[2]); ; at = path.Dir(at) {
			if limit := number(root, g.path+at+"/"+g.limit, math.MaxInt64); limit < math.MaxInt64 {
				groups = append(groups, group{path.Clean(g.path + at), g.limit, g.usage})
			}
			if at == "/" {
				break
			}
		}
	}
	return groups
}

// addressSpace returns the soft limit of "ulimit -v" in bytes, and math.MaxInt64 if there
// is none.
func addressSpace(root fs.FS) int64 {
	for _, line := range lines(root, "proc/self/limits") {
		if rest, ok := strings.CutPrefix(line, "Max address space"); ok {
			var soft int64
			if _, err := fmt.Sscan(rest, &soft); err == nil {
				return soft
			}
		}
	}
	return math.MaxInt64
}

// number returns the number in a file. It returns otherwise if there is none, as in
// "max".
func number(root fs.FS, name string, otherwise int64) int64 {
	data, err := fs.ReadFile(root, path.Clean(name))
	if err != nil {
		return otherwise
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

// numbers reads a file of lines that have a name and a number.
func numbers(root fs.FS, name string) (map[string]int64, error) {
	if _, err := fs.Stat(root, name); err != nil {
		return nil, err
	}
	found := map[string]int64{}
	for _, line := range lines(root, name) {
		var key string
		var n int64
		if _, err := fmt.Sscan(line, &key, &n); err == nil {
			found[strings.TrimSuffix(key, ":")] = n
		}
	}
	return found, nil
}

// lines returns the lines of a file, or none if it can't be read.
func lines(root fs.FS, name string) []string {
	file, err := root.Open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	var all []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		all = append(all, scanner.Text())
	}
	return all
}
