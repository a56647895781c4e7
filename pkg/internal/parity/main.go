// Command parity runs one stage of clipdet on a request and writes all of the result, so
// that the tests in bench/parity can compare each stage with Python's:
//
//	parity STAGE [DEVICE] <REQUEST.json >ANSWER.npz
//
// The answer is a file for numpy.load, with arrays named "0", "1" and so on; the stage
// templates writes JSON instead. The request and the answer of each stage are in
// stages.go. DEVICE is cpu, the default, or cuda:N. OMP_NUM_THREADS or GOMAXPROCS sets
// the threads of libtorch.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/clipdet/clipdet/pkg/internal/torch"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(1) //nolint:forbidigo // a main ends the process
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) < 1 || len(args) > 2 {
		return fmt.Errorf("%d arguments, want the stage and perhaps the device", len(args))
	}
	on := runner{torch.CPU}
	if len(args) == 2 {
		var err error
		if on.device, err = torch.ParseDevice(args[1]); err != nil {
			return err
		}
	}
	switch args[0] {
	case "templates":
		return templates(out)
	case "tokens":
		return answer(ctx, in, out, tokenize)
	case "decode":
		return answer(ctx, in, out, decode)
	case "crops":
		return answer(ctx, in, out, on.crops)
	case "proposals":
		return answer(ctx, in, out, on.proposals)
	case "embeddings":
		return answer(ctx, in, out, on.embeddings)
	case "evaluation":
		return answer(ctx, in, out, evaluation)
	}
	return fmt.Errorf("no stage %q", args[0])
}

// answer reads a request, runs the stage and writes its arrays.
func answer[Request any](ctx context.Context, in io.Reader, out io.Writer, stage func(context.Context, Request, *arrays) error) error {
	var request Request
	if err := json.NewDecoder(in).Decode(&request); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	to := newArrays(out)
	if err := stage(ctx, request, to); err != nil {
		return err
	}
	return to.close()
}
