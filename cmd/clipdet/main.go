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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second Ctrl-C ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
