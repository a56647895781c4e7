package index

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model"
)

// shardFiles returns the content of a directory's shards by their names.
func shardFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]byte)
	for _, entry := range entries {
		if entry.Name() == lockName {
			continue
		}
		if found[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func equalFiles(t *testing.T, got, want map[string][]byte) {
	t.Helper()
	for name, data := range want {
		if !bytes.Equal(got[name], data) {
			t.Errorf("%s has %d bytes, and other ones than the %d of the index made in one go", name, len(got[name]), len(data))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is there, and not in the index made in one go", name)
		}
	}
}

// The environment of a process of TestMain that indexes and is killed.
const childDir = "CLIPDET_TEST_INDEX"

// TestChild indexes the pictures of its environment, for TestKilledAndResumed.
func TestChild(t *testing.T) {
	dir, paths, child := strings.Cut(os.Getenv(childDir), "|")
	if child {
		fill(t, open(t), dir, strings.Split(paths, "|"), Options{ShardRegions: 40})
	}
}

// kills is the number of times that TestKilledAndResumed kills a process; .ci/run has a step
// with 50.
var kills = flag.Int("kills", 10, "how often a process that indexes is killed")

// killsEach is the number of them for one index.
const killsEach = 5

// A process that indexes is killed at random moments and started again. What it leaves at
// the end is what one process makes that isn't killed.
func TestKilledAndResumed(t *testing.T) {
	paths := pictures(t, 12)
	whole := t.TempDir()
	began := time.Now()
	index := func(dir string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestChild$") //nolint:gosec // this test
		cmd.Env = append(os.Environ(), childDir+"="+dir+"|"+strings.Join(paths, "|"))
		return cmd
	}
	if out, err := index(whole).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	took := time.Since(began)
	want := shardFiles(t, whole)
	if len(want) < 9 {
		t.Fatalf("%d files, want several shards", len(want))
	}
	random := rand.New(rand.NewPCG(1, 2))
	done := 0
	for run := 0; done < *kills; run++ {
		dir := t.TempDir()
		for left := min(killsEach, *kills-done); ; {
			cmd := index(dir)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if left > 0 {
				kill := time.AfterFunc(time.Duration(random.Int64N(int64(took))), func() { _ = cmd.Process.Kill() })
				err := cmd.Wait()
				if kill.Stop(); err == nil {
					break
				}
				left--
				done++
				continue
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			break
		}
		equalFiles(t, shardFiles(t, dir), want)
		if wrong, err := Verify(t.Context(), dir); len(wrong) > 0 || err != nil {
			t.Errorf("run %d: %v, %v", run, wrong, err)
		}
	}
}

func TestChangedAndRemovedPictures(t *testing.T) {
	d := open(t)
	paths := pictures(t, 6)
	dir := t.TempDir()
	options := Options{ShardRegions: 40}
	if n := fill(t, d, dir, paths, options); n != 6 {
		t.Fatalf("%d pictures were encoded, want 6", n)
	}
	if n := fill(t, d, dir, paths, options); n != 0 {
		t.Fatalf("%d pictures were encoded again", n)
	}
	before := len(shardFiles(t, dir))
	if err := os.Chtimes(paths[5], time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	w, err := Create(dir, d.Info(), options)
	if err != nil {
		t.Fatal(err)
	}
	touched, err := Look(paths[5])
	if err != nil {
		t.Fatal(err)
	}
	read, err := touched.Read()
	if err != nil || w.Has(touched) || !w.Has(read) {
		t.Errorf("%v: a touched file is there by its time: %v, by its content: %v", err, w.Has(touched), w.Has(read))
	}
	if _, err := Create(dir, d.Info(), options); !errors.Is(err, ErrBusy) {
		t.Errorf("a second writer got %v", err)
	}
	if err := errors.Join(w.Remove(paths[1]), w.Remove("no such picture"), w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(t.Context(), read, nil); err == nil {
		t.Error("a closed writer appends")
	}
	save(t, paths[3], scene(99))
	now := slices.Concat(paths[:1], paths[2:])
	if n := fill(t, d, dir, now, options); n != 2 { // the changed one and the touched one
		t.Errorf("%d pictures were encoded, want 2", n)
	}

	q := ask(t, d, "dog", "cat")
	all := matched(t, d, q, now, "", "", everything)
	search := func(what string) {
		t.Helper()
		ix, err := Open(dir, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		hits, err := ix.Search(t.Context(), d, q, Params{TopK: 1000})
		if err != nil {
			t.Fatal(err)
		}
		compare(t, what, hits, all, 1000)
		if n := int(ix.Stats().Regions); n != len(all[0]) || ix.Stats().Pictures != 5 {
			t.Errorf("%s: %+v, want %d regions of 5 pictures", what, ix.Stats(), len(all[0]))
		}
	}
	search("with tombstones")
	if len(shardFiles(t, dir)) <= before {
		t.Error("nothing was added")
	}
	old, err := Open(dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Compact(t.Context(), dir, Options{ShardRegions: 60}); err != nil {
		t.Fatal(err)
	}
	search("compact")
	if _, err := old.Search(t.Context(), d, q, Params{}); !errors.Is(err, ErrChanged) {
		t.Errorf("an index from before got %v", err)
	}
	compacted := shardFiles(t, dir)
	for name, data := range compacted {
		if bytes.Contains(data, []byte("tombstones")) {
			t.Errorf("%s still has tombstones", name)
		}
	}
	if err := Compact(t.Context(), dir, Options{ShardRegions: 60}); err != nil {
		t.Fatal(err)
	}
	equalFiles(t, shardFiles(t, dir), compacted)
	if n := fill(t, d, dir, now, options); n != 0 {
		t.Errorf("after compact %d pictures were encoded again", n)
	}
}

// The parts of an index are put together by a move.
func TestParts(t *testing.T) {
	d := open(t)
	paths := pictures(t, 6)
	whole := t.TempDir()
	for part := range 3 {
		dir := t.TempDir()
		fill(t, d, dir, paths[2*part:2*part+2], Options{ShardRegions: 10, Part: part + 1, Parts: 3})
		for name := range shardFiles(t, dir) {
			if _, err := os.Lstat(filepath.Join(whole, name)); err == nil {
				t.Errorf("%s is of two parts", name)
			}
			if err := os.Rename(filepath.Join(dir, name), filepath.Join(whole, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := fill(t, d, whole, paths, Options{}); n != 0 {
		t.Errorf("%d pictures were encoded again", n)
	}
	q := ask(t, d, "dog")
	ix, err := Open(whole, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hits, err := ix.Search(t.Context(), d, q, Params{TopK: 30})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "parts", hits, matched(t, d, q, paths, "", "", everything), 30)
}

func TestOtherModelsAreRefused(t *testing.T) {
	d := open(t)
	dir := t.TempDir()
	fill(t, d, dir, pictures(t, 1), Options{})
	other, err := detect.Open(t.Context(), detect.Options{Models: model.Dir("../../testdata/models/faulty"), Device: "cpu", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := Create(dir, other.Info(), Options{}); !errors.Is(err, ErrModels) || !strings.Contains(fmt.Sprint(err), "digest") {
		t.Errorf("other models: %v", err)
	}
	info := d.Info()
	info.Crops = []detect.Crop{{Mode: detect.CropPad, Context: 1}}
	if _, err := Create(dir, info, Options{}); !errors.Is(err, ErrModels) || !strings.Contains(fmt.Sprint(err), "crops") {
		t.Errorf("other crops: %v", err)
	}
	w, err := Create(dir, d.Info(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := pictures(t, 1)[0]
	if err := add(t, w, other, path, load(t, path)); !errors.Is(err, ErrModels) || !strings.Contains(fmt.Sprint(err), path) {
		t.Errorf("regions of other models: got %v, want ErrModels that names the picture", err)
	}
	if slices.Contains(w.Paths(), path) {
		t.Error("a refused picture is in the index")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	ix, err := Open(dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ix.Search(t.Context(), other, ask(t, other, "dog"), Params{}); !errors.Is(err, ErrModels) {
		t.Errorf("a search with other models: %v", err)
	}
}

func TestVerifyFindsEachChangedByte(t *testing.T) {
	d := open(t)
	paths := pictures(t, 3)
	dir := t.TempDir()
	fill(t, d, dir, paths, Options{ShardRegions: 30})
	if wrong, err := Verify(t.Context(), dir); len(wrong) > 0 || err != nil {
		t.Fatalf("as written: %v, %v", wrong, err)
	}
	files := shardFiles(t, dir)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	random := rand.New(rand.NewPCG(3, 4))
	for change := range 200 {
		name := names[change%len(names)]
		data := slices.Clone(files[name])
		at := random.IntN(len(data))
		data[at] ^= byte(1 + random.IntN(255)) //nolint:gosec // below 256
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		wrong, err := Verify(t.Context(), dir)
		if len(wrong) == 0 || err != nil || !strings.Contains(fmt.Sprint(wrong), strings.TrimSuffix(name, filepath.Ext(name))) {
			t.Errorf("byte %d of %s changed: %v, %v", at, name, wrong, err)
		}
		if err := os.WriteFile(path, files[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "away")); err != nil {
			t.Fatal(err)
		}
		if wrong, err := Verify(t.Context(), dir); len(wrong) == 0 || err != nil {
			t.Errorf("%s is missing: %v, %v", name, wrong, err)
		}
		if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Verify(t.Context(), t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("an empty directory: %v", err)
	}
}

// Compact would write what is damaged anew, with checksums that fit.
func TestCompactCopiesNothingDamaged(t *testing.T) {
	d := open(t)
	paths := pictures(t, 3)
	dir := t.TempDir()
	fill(t, d, dir, paths, Options{ShardRegions: 20})
	save(t, paths[0], scene(99))
	fill(t, d, dir, paths, Options{ShardRegions: 20})
	for _, extension := range []string{"npy", "parquet"} {
		path := shardPath(dir, 2, extension)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damaged := slices.Clone(whole)
		damaged[len(damaged)/2] ^= 1
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		before := shardFiles(t, dir)
		if err := Compact(t.Context(), dir, Options{}); !errors.Is(err, ErrDamaged) || !strings.Contains(fmt.Sprint(err), path) {
			t.Errorf("%s: %v", extension, err)
		}
		equalFiles(t, shardFiles(t, dir), before)
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Compact(t.Context(), dir, Options{}); err != nil {
		t.Error(err)
	}
}

// TestPartOf holds the parts of some paths, since an index that is made in parts on several
// machines, or made again, needs them to stay.
func TestPartOf(t *testing.T) {
	for _, test := range []struct {
		path  string
		parts int
		want  int
	}{
		{"photos/a.jpg", 1, 1},
		{"photos/a.jpg", 3, 1},
		{"photos//./a.jpg", 3, 1},
		{"s3://bucket/a.jpg", 1000, 340},
	} {
		if got := PartOf(test.path, test.parts); got != test.want {
			t.Errorf("%s is of part %d of %d, want %d", test.path, got, test.parts, test.want)
		}
	}
	counts := make([]int, 4)
	for i := range 4000 {
		counts[PartOf(fmt.Sprintf("%012d.jpg", i), 4)-1]++
	}
	for i, count := range counts {
		if count < 900 || count > 1100 {
			t.Errorf("part %d has %d of 4000 pictures, want about 1000", i+1, count)
		}
	}
}

// TestCompactMeetsReaders opens an index all the time while Compact removes its shards. Files
// may go after that, but if it is opened then, they stay.
func TestCompactMeetsReaders(t *testing.T) {
	const shards, width = 60, 8
	from := t.TempDir()
	w, err := create(from, made{Width: width}, Options{ShardRegions: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range shards {
		p := Picture{Path: fmt.Sprint(i), SHA256: "0"}
		if err := w.append(p, 1, 1, []detect.Proposal{{Box: box.Box{X1: 1, Y1: 1}}}, make([]uint16, width)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	gone := func(ix *Index) bool {
		return slices.ContainsFunc(ix.shards, func(s shard) bool {
			_, npy := os.Stat(s.path("npy"))
			_, parquet := os.Stat(s.path("parquet"))
			return npy != nil || parquet != nil
		})
	}
	for range 3 {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- Compact(t.Context(), dir, Options{}) }()
		for changed := false; ; {
			ix, err := Open(dir, OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if stats := ix.Stats(); stats.Pictures != shards || stats.Regions != shards {
				t.Fatalf("got %+v, want %d pictures with a region", stats, shards)
			}
			if gone(ix) {
				if changed {
					t.Fatal("the index has changed again")
				}
				changed = true
			}
			select {
			case err = <-done:
			default:
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
}
