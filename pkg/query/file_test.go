package query

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/prompt"
)

func TestReadQueries(t *testing.T) {
	coco := `{"info": {"categories": [{"name": "not this"}], "n": [1, [2, {"a": null}]]}, "annotations": [{"id": 1}],
		"categories": [{"id": 1, "name": "traffic_light", "supercategory": "x"}, {"name": "a=b|c"}], "images": []}`
	for _, test := range []struct {
		name, file string
		most       int
		want       []string // names
		says       string   // of the error; "": none
		kind       error
	}{
		{"lines", "dog\n# a comment\n\nbike=a bicycle|a bike\n", 9, []string{"dog", "bike"}, "", nil},
		{"of Windows", "\ufeffdog\r\ncat\r\n", 9, []string{"dog", "cat"}, "", nil},
		{"no line end", "dog", 9, []string{"dog"}, "", nil},
		{"a bad line", "dog\ncat|dog\n", 9, nil, "line 2", detect.ErrQuery},
		{"too many lines", "a\nb\nc\n", 2, nil, "line 3", detect.ErrLimit},
		{"nothing", " \n# x\n", 9, nil, "none", detect.ErrQuery},
		{"no file at all", "", 9, nil, "none", detect.ErrQuery},
		{"a list", `["dog", "bike=a bicycle"]`, 9, []string{"dog", "bike"}, "", nil},
		{"a list of objects", ` [{"name": "dog", "id": 3}, "cat"]`, 9, []string{"dog", "cat"}, "", nil},
		{"an object with phrases", `[{"name": "cat", "phrases": ["a cat"]}]`, 9, nil, `the phrases of "cat" would be lost`, detect.ErrQuery},
		{"COCO", coco, 9, []string{"traffic_light", "a=b|c"}, "", nil},
		{"Roboflow's group", `{"categories": [{"id": 0, "name": "fish", "supercategory": "none"}, {"id": 1, "name": "fish", "supercategory": "fish"}, {"name": "cup", "supercategory": "fish"}]}`, 9, []string{"fish", "cup"}, "", nil},
		{"no group", `{"categories": [{"name": "fish", "supercategory": "none"}, {"name": "cup", "supercategory": "none"}, {"name": "cat", "supercategory": null}, {"name": "person", "supercategory": "person"}]}`, 9, []string{"fish", "cup", "cat", "person"}, "", nil},
		{"YAML", "train: images\nnames:\n  0: dog\n", 9, nil, "line 2: ", detect.ErrQuery},
		{"COCO with a byte order mark", "\ufeff" + coco, 9, []string{"traffic_light", "a=b|c"}, "", nil},
		{"too many names", coco, 1, nil, "more than 1", detect.ErrLimit},
		{"no categories", `{"images": []}`, 9, nil, "there is none", detect.ErrQuery},
		{"empty categories", `{"categories": []}`, 9, nil, "there is none", detect.ErrQuery},
		{"categories that are no list", `{"categories": {"dog": 1}}`, 9, nil, "no list", detect.ErrQuery},
		{"a category without a name", `{"categories": [{"name": "dog"}, {"id": 2}]}`, 9, nil, "name 2", detect.ErrQuery},
		{"a category without a text", `{"categories": [{"name": " "}]}`, 9, nil, "name 1", prompt.ErrPhrase},
		{"a number beyond any that is skipped", `{"id": 1e999, "categories": [{"id": -2e999, "name": "dog"}]}`, 9, []string{"dog"}, "", nil},
		{"a number", `["dog", 3]`, 9, nil, "name 2", detect.ErrQuery},
		{"null", `[null]`, 9, nil, "name 1", detect.ErrQuery},
		{"half a document", coco[:len(coco)/2], 9, nil, "begins as JSON", detect.ErrQuery},
		{"no JSON", "[dog]", 9, nil, "begins as JSON", detect.ErrQuery},
		{"a list and white space", "[\"dog\"] \n\t", 9, []string{"dog"}, "", nil},
		{"a list that ends twice", `["dog"] ] trailing`, 9, nil, "begins as JSON", detect.ErrQuery},
		{"a list and words", `["dog"] cat`, 9, nil, "begins as JSON", detect.ErrQuery},
		{"two lists", `["dog"]["cat"]`, 9, nil, "after the list", detect.ErrQuery},
	} {
		got, err := ReadQueries(strings.NewReader(test.file), test.most)
		if test.says != "" {
			if err == nil || !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v, want %v that says %q", test.name, err, test.kind, test.says)
			}
			continue
		}
		var names []string
		for _, q := range got {
			names = append(names, q.Name)
		}
		if err != nil || !slices.Equal(names, test.want) {
			t.Errorf("%s: %q, %v; want %q", test.name, names, err, test.want)
		}
	}
	if q, err := ReadQueries(strings.NewReader(coco), 9); err != nil || len(q[1].Phrases) > 0 {
		t.Errorf("a category's name has phrases %q (%v), want it as it is", q[1].Phrases, err)
	}
}

func TestReadQueriesIsBounded(t *testing.T) {
	for start, most := range map[string]int{"dog\n": mostQueryBytes} {
		endless := &zeros{}
		if _, err := ReadQueries(&after{start, endless}, 9); !errors.Is(err, detect.ErrLimit) || endless.taken > most+1<<13 {
			t.Errorf("after %q: %v after %d bytes, want ErrLimit after %d", start, err, endless.taken, most)
		}
	}
}

// after reads a text and then from zeros.
type after struct {
	text string
	then *zeros
}

func (a *after) Read(p []byte) (int, error) {
	if a.text == "" {
		return a.then.Read(p)
	}
	n := copy(p, a.text)
	a.text = a.text[n:]
	return n, nil
}

// FuzzReadQueries checks that what is read can be asked, and that every failure is a
// known one.
func FuzzReadQueries(f *testing.F) {
	for _, seed := range []string{"dog\ncat=a cat|-a dog\n", "\ufeff# x\r\ny\r\n", `["dog", {"name": "cat"}]`, `{"a": [{}], "categories": [{"name": "dog"}]}`, "[", "{\"categories\":", "\xff"} {
		f.Add(seed)
	}
	coco, err := os.ReadFile("../../testdata/images/instances.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(coco))
	f.Fuzz(func(t *testing.T, file string) {
		const most = 50
		queries, err := ReadQueries(strings.NewReader(file), most)
		if err != nil {
			if queries != nil {
				t.Fatalf("ReadQueries(%q) returned both queries and %v", file, err)
			}
			for _, known := range []error{detect.ErrQuery, detect.ErrLimit, prompt.ErrPhrase, prompt.ErrUTF8, prompt.ErrTooLong} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("ReadQueries(%q) failed with %v, which is no sentinel", file, err)
		}
		if len(queries) == 0 || len(queries) > most {
			t.Fatalf("ReadQueries(%q) gave %d queries, want 1 to %d", file, len(queries), most)
		}
		for _, q := range queries {
			if _, err := q.Phrasings(prompt.Templates()); err != nil {
				t.Fatalf("ReadQueries(%q) gave %+v, which can't be asked: %v", file, q, err)
			}
		}
	})
}
