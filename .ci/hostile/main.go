// Command hostile runs the built clipdet with mutated pictures, animations, lists of
// paths, files of queries and model archives, with full disks, and with signals. It checks
// that clipdet refuses or does each as it promises: exit codes 0 to 3, no crash, no hang,
// bounded memory, no half-written files, errors that name the file, and the same results
// for good pictures among them as for these pictures alone. The mutations depend only on a
// seed. Run it at the top of the repository:
//
//	go run ./.ci/hostile --clipdet ./clipdet [--images 10000] [--archives 1000]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
)

// report collects the results of several workers.
type report struct {
	mu       sync.Mutex
	problems int
	rows     map[string]*row // of the table, by the kind of mutation
	order    []string
	peak     int64 // bytes, of any process
	slowest  float64
}

// row counts the inputs of one kind of mutation. Each is done, or refused by name.
type row struct{ inputs, done, refused int }

func (r *report) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems++
	if r.problems <= 20 {
		fmt.Printf("PROBLEM: "+format+"\n", args...)
	}
}

// found returns the number of problems so far.
func (r *report) found() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problems
}

func (r *report) count(kind string, done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows[kind] == nil {
		r.rows[kind] = &row{}
		r.order = append(r.order, kind)
	}
	r.rows[kind].inputs++
	if done {
		r.rows[kind].done++
	} else {
		r.rows[kind].refused++
	}
}

func (r *report) used(p process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peak = max(r.peak, p.peak)
	r.slowest = max(r.slowest, p.took.Seconds())
}

// each does the jobs 0 to n-1 on b.workers goroutines. After an interrupt it begins no
// more jobs.
func (b *bench) each(n int, do func(int)) {
	jobs := make(chan int)
	var group sync.WaitGroup
	for range b.workers {
		group.Go(func() {
			for i := range jobs {
				do(i)
			}
		})
	}
	for i := range n {
		if b.interrupted.Err() != nil {
			break
		}
		jobs <- i
	}
	close(jobs)
	group.Wait()
}

func main() {
	clipdet := flag.String("clipdet", "./clipdet", "the built command")
	images := flag.Int("images", 300, "mutated pictures")
	archives := flag.Int("archives", 36, "mutated archives")
	forged := flag.Int("forged", 0, "archives whose code or weights are mutated and whose digest is made anew, counted apart: they are programs of a stranger, and their crashes are no failure")
	seed := flag.Uint64("seed", 1, "of the mutations")
	workers := flag.Int("workers", 2, "processes at once")
	keep := flag.String("keep", "", "keep the mutated files in this folder")
	flag.Parse()

	b := bench{clipdet: *clipdet, work: *keep, seed: *seed, workers: *workers, report: report{rows: map[string]*row{}}}
	if err := b.all(*images, *archives, *forged); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	if b.print(); b.problems > 0 {
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	report
	clipdet, work string
	seed          uint64
	workers       int
	crashes       int // of forged archives
	interrupted   context.Context
}

func (b *bench) all(images, archives, forged int) error {
	var stop func()
	b.interrupted, stop = signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if b.work == "" {
		dir, err := os.MkdirTemp("", "hostile-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		b.work = dir
	}
	for _, part := range []func() error{
		func() error { return b.images(images) },
		func() error { return b.inputs(images) },
		func() error { return b.archives(archives, false) },
		func() error { return b.archives(forged, true) },
		b.disk,
		b.signals,
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) print() {
	fmt.Printf("%-34s %8s %8s %8s\n", "mutation", "inputs", "refused", "done")
	total := row{}
	for _, kind := range b.order {
		r := b.rows[kind]
		fmt.Printf("%-34s %8d %8d %8d\n", kind, r.inputs, r.refused, r.done)
		if !strings.HasPrefix(kind, "forged") {
			total.inputs, total.refused, total.done = total.inputs+r.inputs, total.refused+r.refused, total.done+r.done
		}
	}
	fmt.Printf("%-34s %8d %8d %8d\n", "all", total.inputs, total.refused, total.done)
	fmt.Printf("peak memory of a process %d MiB (bound %d), the slowest took %.1f s (bound %.0f), %d problems", b.peak>>20, memoryBound>>20, b.slowest, timeBound.Seconds(), b.problems)
	if b.crashes > 0 {
		fmt.Printf(", %d crashes in forged archives", b.crashes)
	}
	fmt.Println()
}
