package evaluate

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
)

// idsOf reads a data set whose images and categories are numbered from 11 and 101.
func idsOf(t *testing.T, images, categories []string) *IDs {
	t.Helper()
	type object map[string]any
	data := map[string][]object{"images": {}, "categories": {}}
	for i, name := range images {
		data["images"] = append(data["images"], object{"id": 11 + i, "file_name": name})
	}
	for i, name := range categories {
		data["categories"] = append(data["categories"], object{"id": 101 + i, "name": name})
	}
	text, err := json.Marshal(data)
	path := filepath.Join(t.TempDir(), "instances.json")
	if err := errors.Join(err, os.WriteFile(path, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	ids, err := ReadIDs(path)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestIDsOfImages(t *testing.T) {
	ids := idsOf(t, []string{
		"a.jpg", "train/b.jpg", "val/b.jpg", `win\c.jpg`, "x%20y.jpg", "caf\u00e9.png", "D.JPG", // 11 to 17
		"e.jpg", "deep/e.jpg", "/data/set/f.jpg", "g.jpg", "G.jpg", "same.jpg", "same.jpg", // 18 to 24
	}, nil)
	for _, test := range []struct {
		paths string // of inputs, split at |
		want  []int64
		says  string
	}{
		{"a.jpg|photos/./a.jpg", nil, "a.jpg and photos/./a.jpg would both be the image 11, a.jpg"},
		{"photos/a.jpg|photos//a.jpg", []int64{11, 11}, ""},
		{"photos/train/b.jpg|val/b.jpg|/w/win/c.jpg|x y.jpg", []int64{12, 13, 14, 15}, ""},
		{"x%20y.jpg|cafe\u0301.png|d.jpg", []int64{15, 16, 17}, ""},
		{"e.jpg|deep/e.jpg|f.jpg|g.jpg|G.jpg", []int64{18, 19, 20, 21, 22}, ""},
		{"other/e.jpg", []int64{18}, ""}, // of the two, e.jpg is the whole name
		{"b.jpg", nil, "b.jpg may be the image 12, train/b.jpg, or 13, val/b.jpg"},
		{"same.jpg", nil, "same.jpg may be the image 23"},
		{"a.jpg|none.jpg|-", nil, "no image there is named none.jpg, -"},
		{"1|2|3|4|5|6|7", nil, "no image there is named 1, 2, 3, 4, 5, nor as 2 others"},
		{"a.jpg.png|photos", nil, "a.jpg.png, photos"},
	} {
		var inputs []intake.Input
		for _, path := range strings.Split(test.paths, "|") {
			inputs = append(inputs, intake.Input{Path: path})
		}
		images, err := ids.Of(inputs)
		var got []int64
		for _, image := range images {
			got = append(got, image.ID)
		}
		if !slices.Equal(got, test.want) || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v (%v), want %v and an error that says %q", test.paths, got, err, test.want, test.says)
		}
	}
	images, err := ids.Of([]intake.Input{{Path: "none*", Err: errors.New("no file matches")}, {Path: "a.jpg"}})
	if err != nil || len(images) != 2 || images[0].ID != 0 || images[1].ID != 11 {
		t.Errorf("an input with an error: got %v (%v), want no image and 11", images, err)
	}
}

func TestIDsOfCategories(t *testing.T) {
	ids := idsOf(t, nil, []string{"dog", "traffic_light", "Dog", "bow_(weapon)", "cat ", "cat"})
	for _, test := range []struct {
		queries string
		want    []int64
		says    string
	}{
		{"dog|Dog|traffic light|bow (weapon)|cat", []int64{101, 103, 102, 104, 106}, ""},
		{"traffic_light", []int64{102}, ""},
		{"Traffic Light", []int64{102}, ""},
		{"DOG", nil, `the query "DOG" may be the category 101 or 103 there`},
		{"dog|owl", nil, `no category there is named "owl"`},
		{"traffic light|traffic_light", nil, `"traffic light" and "traffic_light" are both the category 102`},
	} {
		categories, err := ids.Categories(strings.Split(test.queries, "|"))
		var got []int64
		for _, c := range categories {
			got = append(got, c.ID)
		}
		if !slices.Equal(got, test.want) || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v (%v), want %v and an error that says %q", test.queries, got, err, test.want, test.says)
		}
	}
}
