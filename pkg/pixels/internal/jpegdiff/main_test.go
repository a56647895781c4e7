package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/pixels"
)

func TestRun(t *testing.T) {
	const formats = "../../../../testdata/formats/"
	into := t.TempDir()
	var out bytes.Buffer
	err := run(&out, into, []string{formats + "420.jpg", formats + "exif3.jpg", formats + "cmyk-unmarked.jpg"})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 { // exif3.jpg is turned
		t.Fatalf("%d lines, want a head, two pictures and their sum:\n%s", len(lines), &out)
	}
	for i, want := range [][]string{
		{"this project", "Go"},
		{"420.jpg", "0.00 % differ", "at most 0"},
		{"cmyk-unmarked.jpg", "0.00 % differ", "unsupported"},
		{"2 and 1 read", "0.00 % differ"},
	} {
		for _, part := range want {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d lacks %q: %s", i, part, lines[i])
			}
		}
	}
	written, err := os.ReadDir(into)
	if err != nil || len(written) != 1 {
		t.Fatalf("%v, %v; want 420.jpg alone", written, err)
	}
	m, err := pixels.DecodeFile(filepath.Join(into, "420.jpg"), pixels.Limits{})
	if err != nil || m.Width != 45 || m.Height != 35 {
		t.Errorf("written: %v, %v; want 45 x 35 pixels", m, err)
	}
}
