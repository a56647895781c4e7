package main

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/index"
)

func TestIndexAndSearch(t *testing.T) {
	models, err := filepath.Abs(tinyModels)
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := filepath.Abs(formats)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.CopyFS("photos", os.DirFS(pictures)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("photos/bad.png", []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	indexed := func(want int, says string, more ...string) {
		t.Helper()
		args := append([]string{"index", "--out", "ix", "--models", models, "--max-regions", "5", "--device", "cpu"}, more...)
		code, stdout, stderr := clipdet(t, append(args, "photos")...)
		if code != want || stdout != "" || !strings.Contains(stderr, says) {
			t.Fatalf("exit code %d, want %d; stdout %q; stderr, which should say %q:\n%s", code, want, stdout, says, stderr)
		}
	}
	n := len(intake.Expand([]string{"photos"}))
	indexed(exit.CodeInputs, fmt.Sprintf("clipdet: 1 of %d pictures failed", n))
	indexed(exit.CodeInputs, fmt.Sprintf("clipdet: 2 of %d pictures failed", n+1), "photos/none.png")
	if err := os.Remove("photos/bad.png"); err != nil {
		t.Fatal(err)
	}
	indexed(exit.CodeDone, " 0 to be encoded, 0 removed")

	asked := []string{"search", "--index", "ix", "--models", models, "--device", "cpu", "-q", "dog", "-q", "cat", "--text-cache", "cache"}
	search := func(more ...string) string {
		t.Helper()
		code, stdout, stderr := clipdet(t, append(asked[:len(asked):len(asked)], more...)...)
		if code != exit.CodeDone || stderr != "" {
			t.Fatalf("search %s: exit code %d\n%s", strings.Join(more, " "), code, stderr)
		}
		return stdout
	}
	var hits []index.Hit
	if err := json.Unmarshal([]byte(search("--top-k", "7", "--html", "page")), &hits); err != nil || len(hits) != 14 {
		t.Fatalf("%v: %d hits, want 14", err, len(hits))
	}
	for i, hit := range hits {
		if hit.Query != []string{"dog", "cat"}[i/7] || hit.Picture == "" || hit.Region < 1 || hit.Region > 5 || hit.Box.Empty() ||
			hit.Width < 1 || hit.Height < 1 || i%7 > 0 && hit.Score > hits[i-1].Score {
			t.Errorf("hit %d is %+v", i, hit)
		}
	}
	page, err := os.ReadFile("page/index.html")
	if err != nil || !strings.Contains(string(page), hits[0].Picture) || strings.Count(string(page), "<li ") != 14 {
		t.Errorf("%v: the page has %d hits, and the best picture: %v", err, strings.Count(string(page), "<li "), strings.Contains(string(page), hits[0].Picture))
	}
	if first, err := os.Stat("page/images/1.jpg"); err != nil || first.Size() == 0 {
		t.Errorf("the page has no picture: %v", err)
	}
	like := fmt.Sprintf("%s#%d", hits[3].Picture, hits[3].Region)
	code, stdout, stderr := clipdet(t, "search", "--index", "ix", "--models", models, "--device", "cpu", "--like", like, "--top-k", "4", "--threshold", "0.9")
	var alike []index.Hit
	if err := json.Unmarshal([]byte(stdout), &alike); code != exit.CodeDone || err != nil || len(alike) == 0 || alike[0].Query != like || alike[0].Score < 0.999 {
		t.Errorf("--like %s: exit code %d, %v, %s\n%s", like, code, err, stdout, stderr)
	}
	for _, wrong := range []string{"photos/none.png#1", hits[3].Picture, hits[3].Picture + "#0", hits[3].Picture + "#9999"} {
		if code, _, stderr := clipdet(t, "search", "--index", "ix", "--models", models, "--device", "cpu", "--like", wrong); code != exit.CodeUsage || !strings.Contains(stderr, wrong[:6]) {
			t.Errorf("--like %s: exit code %d\n%s", wrong, code, stderr)
		}
	}
	if search("--top-k", "3", "--scores", "each") == search("--top-k", "3") {
		t.Error("--scores each changes nothing")
	}
	if n := strings.Count(search("--format", "jsonl", "--top-k", "3"), "\n"); n != 6 {
		t.Errorf("%d lines, want 6", n)
	}
	rows, err := csv.NewReader(strings.NewReader(search("--format", "csv", "--top-k", "3"))).ReadAll()
	if err != nil || len(rows) != 7 || rows[1][0] != hits[0].Picture {
		t.Errorf("%v: csv has %q", err, rows)
	}
	var coco []struct {
		Image int `json:"image_id"`
	}
	if err := json.Unmarshal([]byte(search("--format", "coco-results", "--top-k", "3")), &coco); err != nil || len(coco) != 6 || coco[0].Image != 1 {
		t.Errorf("%v: coco-results has %v", err, coco)
	}
	d, err := eval.ReadDataset(strings.NewReader(search("--format", "coco", "--top-k", "3")), eval.Limits{})
	if err != nil || len(d.Annotations) != 6 || len(d.Images) == 0 || d.Images[0].FileName != hits[0].Picture || d.Images[0].Width != hits[0].Width {
		t.Errorf("%v: coco has %+v", err, d)
	}
	if got := search("--path", "none*"); got != "[]\n" {
		t.Errorf("without a picture that fits: %q", got)
	}
	seen := map[string]bool{}
	if err := json.Unmarshal([]byte(search("--per-picture")), &hits); err != nil {
		t.Fatal(err)
	}
	for _, hit := range hits {
		if key := hit.Query + " " + hit.Picture; seen[key] {
			t.Errorf("%s twice with --per-picture", key)
		} else {
			seen[key] = true
		}
	}

	// A picture goes, and one is touched.
	first := filepath.Base(hits[0].Picture)
	if err := errors.Join(os.Remove(hits[0].Picture), os.Chtimes(hits[1].Picture, time.Time{}, time.Now())); err != nil {
		t.Fatal(err)
	}
	indexed(exit.CodeDone, " 0 to be encoded, 1 removed", "--by-content")
	if got := search("--path", first); got != "[]\n" {
		t.Errorf("of the removed picture there is %s", got)
	}
	before := search("--top-k", "1000")
	for _, args := range [][]string{{"index", "compact", "ix"}, {"index", "verify", "ix"}} {
		if code, stdout, stderr := clipdet(t, args...); code != exit.CodeDone || stdout != "" || stderr != "" {
			t.Errorf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
	if after := search("--top-k", "1000"); after != before {
		t.Errorf("compact changed what a search gives:\n%s\n%s", before, after)
	}
	shards, err := filepath.Glob("ix/*.npy")
	if err != nil || len(shards) != 1 {
		t.Fatalf("%v: %q after compact", err, shards)
	}
	data, err := os.ReadFile(shards[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2]++
	if err := os.WriteFile(shards[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := clipdet(t, "index", "verify", "ix"); code != exit.CodeInputs || !strings.Contains(stderr, shards[0]) {
		t.Errorf("a changed byte: exit code %d\n%s", code, stderr)
	}
	const remedy = "remove the .json of each damaged shard"
	if err := os.Remove(shards[0]); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := clipdet(t, "search", "--index", "ix", "-q", "dog"); code != exit.CodeInputs || !strings.Contains(stderr, shards[0]) || !strings.Contains(stderr, remedy) {
		t.Errorf("a missing file: exit code %d\n%s", code, stderr)
	}
	if err := os.Remove(strings.TrimSuffix(shards[0], ".npy") + ".json"); err != nil {
		t.Fatal(err)
	}
	indexed(exit.CodeDone, " 0 pictures are unchanged")
	if mended := search("--top-k", "1000"); mended != before {
		t.Errorf("the index that was mended gives:\n%s\nwant\n%s", mended, before)
	}
	if err := os.WriteFile("photos/caf\xe9.png", []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	indexed(exit.CodeInputs, `"photos/caf\xe9.png": its path isn't UTF-8`)
	code, _, stderr = clipdet(t, "search", "--index", "ix", "--device", "cpu", "-q", "dog")
	if code != exit.CodeUsage || !strings.Contains(stderr, "digest") {
		t.Errorf("the built-in models search an index of others: exit code %d\n%s", code, stderr)
	}
}

// Folders in folders and lists are indexed, and what is gone from the folders is removed.
func TestIndexTakesFoldersAndLists(t *testing.T) {
	models, err := filepath.Abs(tinyModels)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile(filepath.Join(formats, "420.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, path := range []string{"p/x.jpg", "p/a/b/x.jpg", "p/a/b/y.jpg", "q/x.jpg"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, picture, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("list.txt", []byte("q/x.jpg\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		remove, says string
		args         []string
		code         int
	}{
		{"", "0 pictures are unchanged, 1 to be encoded, 0 removed", []string{"p"}, exit.CodeDone},
		{"", "p: not read: 1 directory (--recursive reads it)", []string{"p"}, exit.CodeDone},
		{"", "1 pictures are unchanged, 3 to be encoded, 0 removed", []string{"--recursive", "--files-from", "list.txt", "p"}, exit.CodeDone},
		{"p/a/b/y.jpg", "1 pictures are unchanged, 0 to be encoded, 0 removed", []string{"p"}, exit.CodeDone},
		{"q/x.jpg", "2 pictures are unchanged, 0 to be encoded, 1 removed", []string{"-r", "p"}, exit.CodeDone},
		{"", "--files-from", []string{"--files-from", "none.txt"}, exit.CodeUsage},
		{"", "https://example.com/x.jpg: an index is of files", []string{"https://example.com/x.jpg"}, exit.CodeInputs},
		{"", "-: an index is of files", []string{"-"}, exit.CodeInputs},
		{"", "no picture", nil, exit.CodeUsage},
	} {
		if test.remove != "" {
			if err := os.Remove(test.remove); err != nil {
				t.Fatal(err)
			}
		}
		args := append([]string{"index", "--out", "ix", "--models", models, "--max-regions", "5", "--device", "cpu"}, test.args...)
		if code, _, stderr := clipdet(t, args...); code != test.code || !strings.Contains(stderr, test.says) {
			t.Errorf("%v: exit code %d, want %d; stderr, which should say %q:\n%s", test.args, code, test.code, test.says, stderr)
		}
	}
}

// Boxes are drawn on the pixels that were indexed, or on none.
func TestSearchDrawsWhatWasIndexed(t *testing.T) {
	models, err := filepath.Abs(tinyModels)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	picture := withOrientation(t, slope(96, 64), 6)
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile("side.jpg", data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(picture)
	indexed := func(out string, want int, says string, more ...string) {
		t.Helper()
		args := []string{"index", "--out", out, "--models", models, "--max-regions", "5", "--device", "cpu", "side.jpg"}
		if code, _, stderr := clipdet(t, append(args, more...)...); code != want || !strings.Contains(stderr, says) {
			t.Fatalf("index %s %v: exit code %d, want %d; stderr, which should say %q:\n%s", out, more, code, want, says, stderr)
		}
	}
	indexed("stored", exit.CodeDone, "1 to be encoded", "--ignore-exif")
	indexed("upright", exit.CodeDone, "1 to be encoded")
	indexed("stored", exit.CodeDone, "1 pictures are unchanged", "--ignore-exif")
	indexed("stored", exit.CodeUsage, "stored: not as the index was made: its pictures are as stored, and these are upright")
	indexed("upright", exit.CodeUsage, "--ignore-exif", "--ignore-exif")
	indexed("upright", exit.CodeUsage, "[auto:1] of width 32, and these are [auto:1 auto:2] of 32; take the same crops or another directory (the flags are --models, --dtype, --crop",
		"--crop-context", "1,2")

	drawn := func(from string, want image.Point, says string) {
		t.Helper()
		page := filepath.Join(t.TempDir(), "page")
		code, stdout, stderr := clipdet(t, "search", "--index", from, "--models", models, "--device", "cpu", "-q", "dog", "--html", page)
		file, err := os.Open(filepath.Join(page, "images", "1.jpg"))
		if says != "" {
			if code != exit.CodeInputs || !strings.Contains(stderr, says) || err == nil || !strings.Contains(stdout, "side.jpg") {
				t.Errorf("%s: exit code %d, a picture was drawn: %v; stderr, which should say %q:\n%s", from, code, err == nil, says, stderr)
			}
			return
		}
		if code != exit.CodeDone || err != nil {
			t.Fatalf("%s: exit code %d, %v\n%s", from, code, err, stderr)
		}
		defer file.Close()
		if got, err := jpeg.DecodeConfig(file); err != nil || image.Pt(got.Width, got.Height) != want {
			t.Errorf("%s: %v, drawn on %d x %d pixels, want %v", from, err, got.Width, got.Height, want)
		}
	}
	drawn("stored", image.Pt(96, 64), "")
	drawn("upright", image.Pt(64, 96), "")
	write(withOrientation(t, slope(96, 64), 8)) // as large, and other pixels
	drawn("upright", image.Point{}, "side.jpg: it has changed since it was indexed")

	// An index of an earlier version doesn't say that it was made with --ignore-exif.
	write(picture)
	w, err := os.ReadFile("stored/shard-00001.json")
	if err != nil {
		t.Fatal(err)
	}
	old := strings.Replace(string(w), ",\n  \"as_stored\": true", "", 1)
	sum := regexp.MustCompile(`"checksum": "\w*"`)
	old = sum.ReplaceAllString(old, `"checksum": ""`)
	old = strings.Replace(old, `"checksum": ""`, fmt.Sprintf(`"checksum": "%x"`, sha256.Sum256([]byte(old))), 1)
	if err := os.WriteFile("stored/shard-00001.json", []byte(old), 0o644); err != nil || old == string(w) {
		t.Fatal(err)
	}
	drawn("stored", image.Point{}, "side.jpg: it is 64 x 96 pixels, and was indexed as 96 x 64")
}

// The built-in models put a right box first for 59 of 65 things (pkg/index/FORMATS.md).
func TestSearchScenes(t *testing.T) {
	measures(t)
	const least = 59 // nine in ten
	objects, _ := annotations(t, regression)
	dir := t.TempDir()
	if code, _, stderr := clipdet(t, "index", "--out", dir, "--device", "cpu", regression); code != exit.CodeDone {
		t.Fatal(stderr)
	}
	args := []string{"search", "--index", dir, "--device", "cpu", "--top-k", "1", "--format", "jsonl"}
	asked := map[string]bool{}
	for _, o := range objects {
		if !asked[o.name] {
			asked[o.name] = true
			args = append(args, "-q", o.name)
		}
	}
	code, stdout, stderr := clipdet(t, args...)
	if code != exit.CodeDone {
		t.Fatal(stderr)
	}
	right := 0
	for line := range strings.Lines(stdout) {
		var hit index.Hit
		if err := json.Unmarshal([]byte(line), &hit); err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.name == hit.Query && filepath.Base(o.file) == filepath.Base(hit.Picture) && o.box.IoU(hit.Box) >= 0.5 {
				right++
				break
			}
		}
	}
	if right < least || len(asked) != 65 {
		t.Errorf("%d of %d things have a right box first, want %d of 65", right, len(asked), least)
	}
}
