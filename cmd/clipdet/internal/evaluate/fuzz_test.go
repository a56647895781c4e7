package evaluate

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/eval"
	"github.com/clipdet/clipdet/pkg/query"
	"github.com/clipdet/clipdet/pkg/results"
)

// FuzzReadRecords verifies that no file crashes readRecords, that other files are refused
// with the right errors, and that the file reads the same up to the returned end.
func FuzzReadRecords(f *testing.F) {
	const header = `{"clipdet_eval":1,"shard":"1/2","made_with":{"--nms":"0.5"}}` + "\n"
	const record = `{"image":"a.png","width":3,"height":2,"proposals":1,"detections":[],"timings_ms":{},"boxes":[[0,0,1,1,0.5]]}` + "\n"
	for _, seed := range []string{"", `{"clipdet`, header, header + record, header + record[:40], header + record + `{"image":"b.png","error":"x"}`, "[]\n", record, header + "\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		kept, found, end, err := readRecords(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, results.ErrFormat) && !errors.Is(err, results.ErrLimit) && !errors.Is(err, errNoRecords) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if end < 1 || end > int64(len(data)) {
			t.Fatalf("%d bytes of %d are records", end, len(data))
		}
		again, same, ends, err := readRecords(bytes.NewReader(data[:end]))
		if err != nil || ends != end || !reflect.DeepEqual(again, kept) || !reflect.DeepEqual(same, found) {
			t.Fatalf("up to byte %d it reads as %+v, %+v to %d (%v), not %+v, %+v", end, again, same, ends, err, kept, found)
		}
	})
}

// FuzzPhrasings verifies that any category name can be a query, and that no file of
// phrasings crashes its reader or changes the query of another category.
func FuzzPhrasings(f *testing.F) {
	for _, seed := range [][2]string{{"bow_(weapon)", "bow_(weapon)=a {}\n"}, {"a=b|{}", "# x\n\na=b"}, {"@-\x00", "\ufeff=|"}, {"\u200b", "x=y|-z::2|@f"}, {"Lamp/Light", "Lamp or Light = a lamp"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, lines string) {
		data := &eval.Dataset{
			Images:     []eval.Image{{ID: 1, FileName: "a"}},
			Categories: []eval.Category{{ID: 5, Name: name}, {ID: 6, Name: name}, {ID: 7, Name: "other"}},
		}
		of, err := query.OfDataset(data)
		if err != nil {
			if strings.TrimSpace(name) != "" {
				t.Fatalf("category %q can't be asked for: %v", name, err)
			}
			return
		}
		set := truth{Dataset: data, names: of.Names}
		taken := map[string]bool{}
		for _, asked := range set.names {
			query, err := query.Parse(asked)
			if err != nil || query.Name != asked || len(query.Phrases) > 0 || taken[asked] {
				t.Fatalf("category %q is asked as %q, which is %+v (%v)", name, asked, query, err)
			}
			taken[asked] = true
		}
		path := t.TempDir() + "/phrasings.txt"
		if err := os.WriteFile(path, []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
		asked, err := set.asked(path)
		if err != nil {
			return
		}
		for k, name := range set.names {
			if asked[k] != name && !strings.HasPrefix(asked[k], name+"=") {
				t.Fatalf("%q is asked as %q", name, asked[k])
			}
		}
	})
}

func FuzzParseShard(f *testing.F) {
	for _, seed := range []string{"1/1", "2/8", "0/1", "3/2", "1/2/3", " 1/2", "1/2 ", "-1/-1", "1/99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseShard(text)
		if err != nil {
			return
		}
		images := make([]eval.Image, 3)
		if part := s.of(images); s.i < 1 || s.i > s.n || s.i <= 3 && len(part) != (3-s.i)/s.n+1 || s.i > 3 && len(part) > 0 {
			t.Fatalf("%q is %v, with %d images of 3", text, s, len(part))
		}
	})
}
