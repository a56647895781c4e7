// Command clipdet finds objects in pictures by words and writes their boxes.
//
// Run "clipdet --help" for its usage.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	startAgain()
	ends := []os.Signal{syscall.SIGTERM}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if !signal.Ignored(s) { // nohup, or a shell's background job
			ends = append(ends, s)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	// After stop, a second Ctrl-C ends the program at once.
	context.AfterFunc(ctx, stop)
	// If the reader of stdout goes away, the write must fail instead of the process, so
	// that the program removes its incomplete files in --out.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
