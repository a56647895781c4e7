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
	// memoryBound is on the peak resident memory of a process, and follows from --max-megapixels 5 below: some eight
	// pictures of up to 16 bytes a pixel in work, 0.3 GB of libtorch and models, and what Go's collector has not yet freed.
	memoryBound = 1536 << 20
	timeBound   = 120 * time.Second
)

// process is what came of one run of clipdet.
type process struct {
	code           int
	signal         syscall.Signal
	stdout, stderr string
	peak           int64 // bytes
	took           time.Duration
}

// run runs clipdet, and reports what no input may do to it.
func (b *bench) run(name string, args ...string) process { return b.runAfter(name, "", args...) }

// runAfter is run after a shell did what comes before.
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

// command is clipdet, after a shell did what comes before it.
func (b *bench) command(ctx context.Context, before string, args ...string) *command {
	c := &command{Cmd: exec.CommandContext(ctx, "bash", append([]string{"-c", before + ` exec "$0" "$@"`, b.clipdet}, args...)...)}
	c.Stdout, c.Stderr = &c.stdout, &c.stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's interrupt is for this program alone
	return c
}

// end waits for a command that was started.
func (c *command) end() process {
	_ = c.Wait() // judged by the code
	p := process{code: c.ProcessState.ExitCode(), stdout: c.stdout.String(), stderr: c.stderr.String()}
	if status, _ := c.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		p.signal = status.Signal()
	}
	if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		p.peak = usage.Maxrss << 10
	}
	return p
}

// crashed says in words how a process ended that should not have, or nothing.
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

// judge reports a process that crashed or took too much.
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

// disk fills what the results are written to, by a limit on the size of files, and looks for what is left.
func (b *bench) disk() error {
	for _, blocks := range []int{0, 1, 16} { // of 1,024 bytes
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

// nothingHalf reports files that were begun and are neither finished nor gone.
func (b *bench) nothingHalf(name, out string) {
	_ = filesOf(out, func(path string) {
		if strings.Contains(path, ".partial-") {
			b.problem("%s: %s is left", name, path)
		}
	})
}
