// Command plan calculates what a job of very many pictures takes: the tables of PLAN.md, or
// the same for other workers.
//
//	go run ./plan                                        prints the tables
//	go run ./plan -rate 80 -workers 64 -price 3.5        for other workers
//	go run ./plan -page PLAN.md                          writes them into the page
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "plan:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	in := assumed()
	flags := flag.NewFlagSet("plan", flag.ContinueOnError)
	page := flags.String("page", "", "write the tables into `FILE`")
	flags.IntVar(&in.pictures, "pictures", in.pictures, "pictures")
	flags.IntVar(&in.workers, "workers", in.workers, "workers")
	flags.IntVar(&in.shard, "shard", in.shard, "pictures a shard")
	flags.Float64Var(&in.rate, "rate", in.rate, "pictures a second of a worker")
	flags.Float64Var(&in.spread, "spread", in.spread, "standard deviation of the logarithm of a picture's time")
	flags.Float64Var(&in.overhead, "overhead", in.overhead, "seconds a shard takes beside its pictures")
	flags.Float64Var(&in.start, "start", in.start, "seconds until a worker works")
	flags.Float64Var(&in.failure, "failure", in.failure, "mean hours between two failures of a worker; 0: none fails")
	flags.Float64Var(&in.price, "price", in.price, "price of a worker for an hour")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	if *page == "" {
		for _, table := range in.tables() {
			fmt.Printf("%s:\n\n%s\n", table.name, table.text)
		}
		return nil
	}
	before, err := os.ReadFile(*page)
	if err != nil {
		return err
	}
	after, err := rewrite(before, in.tables())
	if err != nil {
		return fmt.Errorf("%s: %w", *page, err)
	}
	return os.WriteFile(*page, after, 0o666)
}

func (in inputs) check() error {
	var wrong []string
	for _, one := range []struct {
		flag  string
		value float64
		least float64
	}{
		{"pictures", float64(in.pictures), 1}, {"workers", float64(in.workers), 1}, {"shard", float64(in.shard), 1},
		{"rate", in.rate, 1e-6}, {"spread", in.spread, 0}, {"overhead", in.overhead, 0}, {"start", in.start, 0},
		{"failure", in.failure, 0}, {"price", in.price, 0},
	} {
		if !(one.value >= one.least) {
			wrong = append(wrong, fmt.Sprintf("-%s is %g, want at least %g", one.flag, one.value, one.least))
		}
	}
	if wrong != nil {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// table is a part of the page that is calculated.
type table struct{ name, text string }

// rewrite puts the tables between their marks in the page.
func rewrite(page []byte, tables []table) ([]byte, error) {
	for _, table := range tables {
		begin, end := []byte("<!-- plan: "+table.name+" -->\n"), []byte("<!-- end -->")
		before, rest, found := bytes.Cut(page, begin)
		_, after, ended := bytes.Cut(rest, end)
		if !found || !ended {
			return nil, fmt.Errorf("no table between %q and %q", begin, end)
		}
		page = bytes.Join([][]byte{before, begin, []byte("\n" + table.text + "\n"), end, after}, nil)
	}
	return page, nil
}
