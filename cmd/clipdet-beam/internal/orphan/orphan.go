// Package orphan ends a worker whose parents have ended. Beam's boot program starts the
// worker as a process of its own, and the worker stays when boot, or what has started
// boot, is killed.
package orphan

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// process is a process at one time: its number may be another's later.
type process struct {
	number  int
	started string // in ticks since the machine's start; "" if it isn't known
}

// every is the time between two looks.
const every = 200 * time.Millisecond

// Watch calls end once, on a goroutine of its own, when the parent of this process or the
// parent's parent has ended, soon after. Process 1 and what the system doesn't tell
// don't count.
func Watch(end func()) {
	var parents []process
	for number := os.Getppid(); number > 1 && len(parents) < 2; {
		started, next, err := status(number)
		if err != nil {
			break
		}
		parents = append(parents, process{number, started})
		number = next
	}
	parent := os.Getppid()
	go func() {
		for !gone(parent, parents) {
			time.Sleep(every)
		}
		end()
	}()
}

// gone reports whether the parent is another now, or one of the processes has ended.
func gone(parent int, parents []process) bool {
	if os.Getppid() != parent {
		return true
	}
	for _, p := range parents {
		if started, _, err := status(p.number); err != nil || started != p.started {
			return true
		}
	}
	return false
}

// status returns when a process was started, and the number of its parent, as Linux tells
// them (proc(5), /proc/PID/stat). A process that has ended, but whose parent hasn't asked
// for its exit code, is an error.
func status(number int) (started string, parent int, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", number))
	if err != nil {
		return "", 0, err
	}
	// The name, in brackets, may have spaces and brackets in it. The state comes after it.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	const state, ppid, starttime = 0, 1, 19
	if len(fields) <= starttime || string(fields[state]) == "Z" {
		return "", 0, fmt.Errorf("process %d has ended", number)
	}
	parent, err = strconv.Atoi(string(fields[ppid]))
	return string(fields[starttime]), parent, err
}
