package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// perKind is how many mutated pictures there are for each mutated list, file of queries,
// font and animation.
const perKind = 25

// inputs mutates n/perKind animations, fonts, lists of paths and files of queries each, and
// runs detect on them. A good picture beside them must be done, unless the list or file is
// refused as wrong usage before any picture.
func (b *bench) inputs(n int) error {
	gif, err := os.ReadFile("testdata/frames/moves.gif")
	if err != nil {
		return err
	}
	webp, err := os.ReadFile("testdata/frames/moves.webp")
	if err != nil {
		return err
	}
	font, err := os.ReadFile("testdata/fonts/few-cjk.otf")
	if err != nil {
		return err
	}
	queries, err := os.ReadFile("testdata/images/instances.json")
	if err != nil {
		return err
	}
	// detectArgs asks for these two.
	queries = bytes.ReplaceAll(bytes.ReplaceAll(queries, []byte(`"owl"`), []byte(`"eagle owl"`)), []byte(`"camera"`), []byte(`"box camera"`))
	list := []byte(strings.Join(good, "\n") + "\ntestdata/formats\n" + strings.Join(good, "\x00"))
	dir := filepath.Join(b.work, "inputs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	allFrames := func(path string) []string { return []string{"--frames", "all", path, good[0]} }
	kinds := []struct {
		name, file string
		data       []byte
		args       func(path string) []string
	}{
		{"animated GIF", ".gif", gif, allFrames},
		{"animated WebP", ".webp", webp, allFrames},
		{"list of paths", ".txt", list, func(path string) []string { return []string{"--files-from", path, good[0]} }},
		{"font", ".otf", font, func(path string) []string {
			return []string{"-q", "犬猫=owl", "--pictures", "--font", path, "--out", path + ".out", good[0]}
		}},
		{"file of queries", ".json", queries, func(path string) []string { return []string{"--queries", path, "--max-queries", "100", good[0]} }},
	}
	b.each(max(1, n/perKind)*len(kinds), func(i int) {
		kind := kinds[i%len(kinds)]
		r := rand.New(rand.NewPCG(b.seed, uint64(1<<32+i)))
		mutation := imageMutations[r.IntN(len(imageMutations))]
		path := filepath.Join(dir, fmt.Sprintf("%04d%s", i, kind.file))
		if err := os.WriteFile(path, mutation.mutate(r, bytes.Clone(kind.data), kind.data), 0o644); err != nil {
			b.problem("%s: %v", path, err)
			return
		}
		before := b.found()
		p := b.run(path, detectArgs(kind.args(path)...)...)
		if b.judge(path, p) {
			found, err := results(p.stdout)
			_, done := found[filepath.Base(good[0])]
			refused := p.code == 2 && strings.Contains(p.stderr, path)
			if err != nil || p.code > 2 || !done && !refused {
				b.problem("%s: exit code %d, %d results: %v\n%.1000s", path, p.code, len(found), err, p.stderr)
			}
			b.count(kind.name, done)
		}
		if b.found() == before {
			_ = os.Remove(path)
			_ = os.RemoveAll(path + ".out")
		}
	})
	return nil
}
