package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// signals sends signals to clipdet in the middle of its pictures, and looks for
// half-written files.
func (b *bench) signals() error {
	for _, c := range []struct {
		signal   syscall.Signal
		before   string
		pictures int
		code     int
	}{
		{syscall.SIGINT, "", 200, 1},
		{syscall.SIGTERM, "", 200, 1},
		{syscall.SIGHUP, "", 200, 1},
		{syscall.SIGHUP, "trap '' HUP;", 20, 0}, // as nohup does: clipdet continues
	} {
		out, err := os.MkdirTemp(b.work, "ended-*")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), timeBound)
		defer cancel()
		cmd := b.command(ctx, c.before, append([]string{"detect", "-q", "owl", "--text-cache", "", "--models", tiny,
			"--pictures", "-o", out}, slices.Repeat(good[:1], c.pictures)...)...)
		if err := cmd.Start(); err != nil {
			return err
		}
		for begun := 0; begun == 0 && ctx.Err() == nil; time.Sleep(time.Millisecond) {
			_ = filesOf(out, func(string) { begun++ })
		}
		_ = cmd.Process.Signal(c.signal) // if it has ended, its exit code is judged
		p := cmd.end()
		name := fmt.Sprintf("%s%v in %d pictures", c.before, c.signal, c.pictures)
		if !b.judge(name, p) {
			continue
		}
		if p.code != c.code {
			b.problem("%s: exit code %d, want %d: %.500s", name, p.code, c.code, p.stderr)
		}
		b.nothingHalf(name, out)
		b.count("signals", c.code == 0)
	}
	return nil
}
