// Command clipdet finds in pictures what words name, and writes the boxes. Run "clipdet --help".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	limitSpinning()
	ends := []os.Signal{syscall.SIGTERM}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if !signal.Ignored(s) { // by nohup, or by a shell for what runs in its background
			ends = append(ends, s)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // so that a second Ctrl-C ends the program at once
	// When the reader of stdout goes away, writing is to fail, and the program to tidy up what it began in --out.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
