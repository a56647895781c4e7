package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tables of the page are those that the program prints.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../PLAN.md")
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "PLAN.md")
	if err := os.WriteFile(again, page, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"-page", again}); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) == string(want) {
		return
	}
	old, now := strings.Split(string(page), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(old), len(now)) {
		if old[i] != now[i] {
			t.Fatalf("PLAN.md has in line %d\n%s\nand the program\n%s\nWrite it again: go run ./plan -page PLAN.md", i+1, old[i], now[i])
		}
	}
	t.Fatal("PLAN.md has other lines at its end. Write it again: go run ./plan -page PLAN.md")
}

func TestRewrite(t *testing.T) {
	page := "a\n<!-- plan: x -->\nold\n<!-- end -->\nb\n"
	got, err := rewrite([]byte(page), []table{{"x", "new\n"}})
	if want := "a\n<!-- plan: x -->\n\nnew\n\n<!-- end -->\nb\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := rewrite([]byte(page), []table{{"y", "new\n"}}); err == nil || !strings.Contains(err.Error(), "plan: y") {
		t.Errorf("a mark that is missing: error %v", err)
	}
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{{"-workers", "0"}, {"-rate", "0"}, {"-rate", "NaN"}, {"-shard", "-1"}, {"-failure", "-1"}} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), args[0]+" is ") {
			t.Errorf("%v: error %v", args, err)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, test := range []struct {
		x      float64
		digits int
		want   string
	}{
		{0, 2, "0"}, {0.01234, 2, "0.012"}, {0.0999, 2, "0.10"}, {9.96, 2, "10"}, {14.37, 2, "14"}, {14.37, 3, "14.4"},
		{1234567, 3, "1,230,000"}, {999, 3, "999"}, {19345, 2, "19,000"},
	} {
		if got := number(test.x, test.digits); got != test.want {
			t.Errorf("number(%g, %d) = %q, want %q", test.x, test.digits, got, test.want)
		}
	}
}
