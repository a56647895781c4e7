package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

var models = []string{"rpn.pt", "clip-image.pt", "clip-text.pt"}

// record is a file of a zip.
type record struct {
	name string
	data []byte
}

func unpack(data []byte) ([]record, error) {
	files, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	var records []record
	for _, f := range files.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		records = append(records, record{f.Name, content})
	}
	return records, nil
}

func pack(records []record) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, r := range records {
		if f, err := w.CreateHeader(&zip.FileHeader{Name: r.name, Method: zip.Store}); err == nil {
			_, _ = f.Write(r.data) // a Buffer takes all
		}
	}
	_ = w.Close()
	return out.Bytes()
}

const manifestName = "extra/manifest.json"

func bare(name string) string {
	_, rest, _ := strings.Cut(name, "/")
	return rest
}

// seal gives the manifest the digest that torchscript/CONTRACT.md defines for the
// records.
func seal(records []record) []record {
	var lines []string
	at := -1
	for i, r := range records {
		switch bare(r.name) {
		case manifestName:
			at = i
		case ".data/serialization_id":
		default:
			lines = append(lines, fmt.Sprintf("%s %d %08x\n", bare(r.name), len(r.data), crc32.ChecksumIEEE(r.data)))
		}
	}
	var m struct {
		Digest string `json:"digest"`
	}
	if at < 0 || json.Unmarshal(records[at].data, &m) != nil || len(m.Digest) != 64 {
		return records
	}
	slices.Sort(lines)
	zeros := bytes.ReplaceAll(records[at].data, []byte(m.Digest), bytes.Repeat([]byte("0"), 64))
	digest := sha256.Sum256(append([]byte(strings.Join(lines, "")), zeros...))
	records[at].data = bytes.ReplaceAll(zeros, bytes.Repeat([]byte("0"), 64), fmt.Appendf(nil, "%x", digest))
	return records
}

// onRecords makes a mutation of a file from a mutation of its records.
func onRecords(mutate func(*rand.Rand, []record) []record) func(*rand.Rand, []byte, []byte) []byte {
	return func(r *rand.Rand, data, _ []byte) []byte {
		records, err := unpack(data)
		if err != nil {
			return data
		}
		return pack(mutate(r, records))
	}
}

var archiveMutations = []mutation{
	{"bits flipped", func(r *rand.Rand, data, _ []byte) []byte { return flip(r, data, len(data)) }},
	{"bits of the zip's directory flipped", func(r *rand.Rand, data, _ []byte) []byte {
		tail := min(len(data), 4096)
		flip(r, data[len(data)-tail:], tail)
		return data
	}},
	{"extreme numbers in the directory", func(r *rand.Rand, data, _ []byte) []byte {
		tail := min(len(data), 4096)
		extreme(r, data[len(data)-tail:], tail)
		return data
	}},
	{"extreme numbers anywhere", func(r *rand.Rand, data, _ []byte) []byte { return extreme(r, data, len(data)) }},
	{"truncated", func(r *rand.Rand, data, _ []byte) []byte { return data[:r.IntN(len(data))] }},
	{"spliced", splice},
	{"a record missing", onRecords(func(r *rand.Rand, all []record) []record {
		at := r.IntN(len(all))
		return resealed(r, slices.Delete(all, at, at+1))
	})},
	{"a record twice", onRecords(func(r *rand.Rand, all []record) []record { return resealed(r, append(all, all[r.IntN(len(all))])) })},
	{"a record renamed", onRecords(func(r *rand.Rand, all []record) []record {
		all[r.IntN(len(all))].name = outside[r.IntN(len(outside))]
		return resealed(r, all)
	})},
	{"a record added", onRecords(func(r *rand.Rand, all []record) []record {
		return resealed(r, append(all, record{outside[r.IntN(len(outside))], []byte("hello")}))
	})},
	{"manifest edited", onRecords(func(r *rand.Rand, all []record) []record {
		for i := range all {
			if bare(all[i].name) == manifestName {
				all[i].data = editManifest(r, all[i].data)
			}
		}
		return seal(all)
	})},
	{"manifest's bits flipped", onRecords(func(r *rand.Rand, all []record) []record {
		for i := range all {
			if bare(all[i].name) == manifestName {
				all[i].data = flip(r, all[i].data, len(all[i].data))
			}
		}
		return resealed(r, all)
	})},
}

// forgedMutations change what libtorch reads, and renew the digest.
var forgedMutations = []mutation{
	{"code", onRecords(func(r *rand.Rand, all []record) []record { return forge(r, all, ".py") })},
	{"pickles", onRecords(func(r *rand.Rand, all []record) []record { return forge(r, all, ".pkl") })},
	{"weights", onRecords(func(r *rand.Rand, all []record) []record { return forge(r, all, "") })},
}

func forge(r *rand.Rand, all []record, suffix string) []record {
	var of []int
	for i, record := range all {
		if strings.HasSuffix(record.name, suffix) && len(record.data) > 0 && bare(record.name) != manifestName && (suffix != "" || strings.Contains(record.name, "/data/")) {
			of = append(of, i)
		}
	}
	if len(of) > 0 {
		record := &all[of[r.IntN(len(of))]]
		if r.IntN(4) == 0 {
			record.data = record.data[:r.IntN(len(record.data))]
		} else {
			record.data = flip(r, record.data, len(record.data))
		}
	}
	return seal(all)
}

// resealed renews the digest of half of the archives, so that the checks after it are
// tested too.
func resealed(r *rand.Rand, all []record) []record {
	if r.IntN(2) == 0 {
		return all
	}
	return seal(all)
}

var outside = []string{"../../../../tmp/x", "/etc/passwd", "archive/../../x", "archive/./data.pkl", `archive\..\x`, "archive//x", "archive/", "x", "",
	"archive/data/\x1b[31m", "archive/data/a\nclipdet: b", "archive/\xff", "archive/data.pkl", "archive/" + manifestName, "ARCHIVE/data.pkl"}

// odd are values for fields that should have others.
var odd = []any{nil, "", "x", "\x1b[2J", -1, 0, 1, 2, 1e300, 1 << 31, 1 << 62, 0.5, true, []any{}, map[string]any{}, []any{1e9, 1e9}, []any{-1},
	strings.Repeat("a", 10_000), "\u202e", "../..", 65_536, 4096}

func editManifest(r *rand.Rand, data []byte) []byte {
	var m map[string]any
	if json.Unmarshal(data, &m) != nil {
		return data
	}
	for range 1 + r.IntN(2) {
		edit(r, m)
	}
	edited, err := json.Marshal(m)
	if err != nil {
		return data
	}
	return edited
}

// edit changes a field of v, or of a value in it.
func edit(r *rand.Rand, v any) {
	value := odd[r.IntN(len(odd))]
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		if len(keys) == 0 {
			return
		}
		key := keys[r.IntN(len(keys))]
		switch inner := v[key]; {
		case isContainer(inner) && r.IntN(3) > 0:
			edit(r, inner)
		case r.IntN(6) == 0:
			delete(v, key)
		default:
			v[key] = value
		}
	case []any:
		if len(v) == 0 {
			return
		}
		at := r.IntN(len(v))
		if isContainer(v[at]) && r.IntN(3) > 0 {
			edit(r, v[at])
			return
		}
		v[at] = value
	}
}

func isContainer(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

// archives mutates one of three archives, n times. It runs clipdet to inspect the
// archive, and to list, verify and use the set.
func (b *bench) archives(n int, forged bool) error {
	sources := map[string][]byte{}
	for _, name := range models {
		data, err := os.ReadFile(filepath.Join(tiny, name))
		if err != nil {
			return err
		}
		sources[name] = data
	}
	mutations, stream := archiveMutations, uint64(1)<<32
	if forged {
		mutations, stream = forgedMutations, 1<<33
	}
	b.each(n, func(i int) {
		r := rand.New(rand.NewPCG(b.seed, stream+uint64(i)))
		kind, name := mutations[i%len(mutations)], models[r.IntN(len(models))]
		dir := filepath.Join(b.work, fmt.Sprintf("archives-%t-%04d", forged, i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.problem("%v", err)
			return
		}
		for other, data := range sources {
			if other == name {
				data = kind.mutate(r, bytes.Clone(data), sources[models[r.IntN(len(models))]])
			}
			if err := os.WriteFile(filepath.Join(dir, other), data, 0o644); err != nil {
				b.problem("%v", err)
				return
			}
		}
		before := b.found()
		b.useArchive(dir, name, kind.name, forged)
		if b.found() == before {
			_ = os.RemoveAll(dir)
		}
	})
	return nil
}

// useArchive runs each command that reads models. The archive counts as done if detect
// accepts it.
func (b *bench) useArchive(dir, name, kind string, forged bool) {
	path := filepath.Join(dir, name)
	detect := detectArgs(good[0])
	detect[slices.Index(detect, tiny)] = dir
	for _, args := range [][]string{{"models", "inspect", path}, {"models", "list", dir}, {"models", "verify", dir}, detect} {
		p := b.run(dir, args...)
		where := strings.Join(args[:2], " ") + " " + path + " (" + kind + ")"
		if forged {
			if p.crashed() != "" {
				b.mu.Lock()
				b.crashes++
				b.mu.Unlock()
				fmt.Printf("forged %s: %s: %s\n", kind, p.crashed(), where)
			}
		} else if !b.judge(where, p) {
			return
		}
		if args[0] == "detect" {
			if forged {
				kind = "forged " + kind
			} else {
				kind = "archive: " + kind
			}
			b.count(kind, p.code == 0)
		}
		if p.code != 0 && p.crashed() == "" && !strings.Contains(p.stdout+p.stderr, name) && !strings.Contains(p.stderr, dir) && !forged {
			b.problem("%s: exit code %d, and nothing names the file: %.500s", where, p.code, p.stderr)
		}
		if strings.Contains(p.stdout+p.stderr, "\x1b") || !utf8.ValidString(p.stdout+p.stderr) {
			b.problem("%s: a terminal's commands went out as they are: %.500q", where, p.stdout+p.stderr)
		}
	}
}
