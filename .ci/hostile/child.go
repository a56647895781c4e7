package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// memoryBound bounds the peak resident memory of a process. It follows from
	// --max-megapixels 5 of detectArgs: some eight pictures in work at up to 16 bytes a
	// pixel, 0.3 GB of libtorch and models, and memory that Go's collector has not yet
	// freed.
	memoryBound = 1536 << 20
	timeBound   = 120 * time.Second
)

// process is the outcome of one run of clipdet.
type process struct {
	code           int
	signal         syscall.Signal
	stdout, stderr string
	peak           int64 // bytes
	took           time.Duration
}

// run runs clipdet, and reports a problem if it doesn't end in time.
func (b *bench) run(name string, args ...string) process { return b.runAfter(name, "", args...) }

// runAfter is run after the shell commands before.
func (b *bench) runAfter(name, before string, args ...string) process {
	ctx, cancel := context.WithTimeout(context.Background(), timeBound)
	defer cancel()
	cmd := b.command(ctx, before, args...)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.problem("%s: %v", name, err)
		return process{}
	}
	p := cmd.end()
	p.took = time.Since(start)
	if ctx.Err() != nil {
		b.problem("%s: still running after %v: clipdet %s", name, timeBound, strings.Join(args, " "))
	}
	return p
}

type command struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// command returns clipdet, to be run after the shell commands before.
func (b *bench) command(ctx context.Context, before string, args ...string) *command {
	c := &command{Cmd: exec.CommandContext(ctx, "bash", append([]string{"-c", before + ` exec "$0" "$@"`, b.clipdet}, args...)...)}
	c.Stdout, c.Stderr = &c.stdout, &c.stderr
	// A terminal's interrupt must not reach clipdet.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// end waits for a command that was started.
func (c *command) end() process {
	_ = c.Wait() // end returns the exit code
	p := process{code: c.ProcessState.ExitCode(), stdout: c.stdout.String(), stderr: c.stderr.String()}
	if status, _ := c.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		p.signal = status.Signal()
	}
	if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		p.peak = usage.Maxrss << 10
	}
	return p
}

// crashed describes how a process ended that crashed, or returns "".
func (p process) crashed() string {
	if p.signal != 0 {
		return fmt.Sprintf("killed by %v", p.signal)
	}
	if p.code < 0 || p.code > 3 {
		return fmt.Sprintf("exit code %d", p.code)
	}
	for _, word := range []string{"panic", "goroutine ", "fatal error", "terminate called", "SIGSEGV", "runtime error"} {
		if strings.Contains(p.stderr, word) || strings.Contains(p.stdout, word) {
			return "it says " + word
		}
	}
	return ""
}

// judge reports a problem if a process crashed or used too much memory. It returns false
// then.
func (b *bench) judge(name string, p process) bool {
	b.used(p)
	if how := p.crashed(); how != "" {
		b.problem("%s: %s\n%.2000s", name, how, p.stderr)
		return false
	}
	if p.peak > memoryBound {
		b.problem("%s: %d MiB of memory, more than %d", name, p.peak>>20, memoryBound>>20)
		return false
	}
	return true
}

// disk limits the size of files that clipdet writes, and looks for half-written files.
func (b *bench) disk() error {
	for _, blocks := range []int{0, 1, 16} { // of 1,024 bytes each
		out, err := os.MkdirTemp(b.work, "full-*")
		if err != nil {
			return err
		}
		name := fmt.Sprintf("files of at most %d KiB", blocks)
		p := b.runAfter(name, fmt.Sprintf("ulimit -f %d;", blocks), append([]string{"detect", "-q", "owl",
			"--text-cache", out + "/cache", "--threshold", "0", "--models", tiny, "--pictures", "-o", out + "/found"}, good...)...)
		if !b.judge(name, p) {
			continue
		}
		if p.code != 1 || !strings.Contains(p.stderr, out) {
			b.problem("%s: exit code %d, want 1 and the folder on stderr: %.500s", name, p.code, p.stderr)
		}
		b.nothingHalf(name, out)
		b.count("full disk", false)
	}
	return nil
}

// nothingHalf reports files that were begun and neither finished nor removed.
func (b *bench) nothingHalf(name, out string) {
	_ = filesOf(out, func(path string) {
		if strings.Contains(path, ".partial-") {
			b.problem("%s: %s is left", name, path)
		}
	})
}
