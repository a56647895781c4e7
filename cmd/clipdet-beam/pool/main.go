// Command pool starts workers where an engine asks for them, in Beam's environment
// EXTERNAL. It is Beam's worker pool but for two things: each worker is started by boot.sh,
// which gives it a staging folder of its own, and the pool ends with an error.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/apache/beam/sdks/v2/go/container/pool"
)

func main() {
	boot := flag.String("boot", "boot.sh", "`PROGRAM` that starts a worker")
	port := flag.Int("port", 50000, "`PORT` to listen on, on all addresses: whoever reaches it can start workers")
	flag.Parse()
	server, err := pool.New(context.Background(), *port, *boot)
	if err == nil {
		err = server.ServeAndWait()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "pool: %v\n", err)
		os.Exit(1)
	}
}
