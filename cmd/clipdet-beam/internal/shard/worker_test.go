package shard

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/clipdet/clipdet/pkg/detect"
)

// TestOneShardAtATime asks for the same shard from many goroutines, as an engine does that
// starts anew in the same process. One does it, and the others find it.
func TestOneShardAtATime(t *testing.T) {
	picture, err := filepath.Abs("../../../../testdata/images/scene-020.jpg")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	list := filepath.Join(dir, "list.txt")
	if err := os.WriteFile(list, []byte(strings.Repeat(picture+"\n", 3)), 0o644); err != nil {
		t.Fatal(err)
	}
	job := Job{
		Mode: Detect, List: list, Out: filepath.Join(dir, "out"), Dead: filepath.Join(dir, "dead"), Shards: 1, Tries: 1,
		Queries: []string{"owl"}, Models: "../../../../testdata/models/tiny", Device: "cpu", DType: detect.Unmeasured, Proposals: 5, Threads: 1,
	}
	if job.Listed, err = job.Digest(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := Open(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	const calls = 8
	outcomes, errs := [calls]Outcome{}, [calls]error{}
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() { outcomes[i], errs[i] = w.Do(t.Context(), 1) })
	}
	all.Wait()
	did := 0
	for i, o := range outcomes {
		if errs[i] != nil || o.Dead != nil {
			t.Errorf("call %d: %v, %v", i, errs[i], o.Dead)
		}
		if !o.Skipped {
			did++
		}
	}
	if did != 1 {
		t.Errorf("%d of %d calls did the shard, want 1", did, calls)
	}

	w.doing = map[int]chan struct{}{1: make(chan struct{})} // somebody has it for long
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Do(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that waits and is cancelled: %v", err)
	}
}
