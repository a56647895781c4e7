package evaluate

import (
	"os"
	"slices"
	"testing"
)

func TestQueriesOfCategories(t *testing.T) {
	t.Chdir(t.TempDir())
	const instances = `{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": [{"id": 7, "name": "red_box"},
		{"id": 3, "name": "dog"}, {"id": 20, "name": "bow_(weapon)"}, {"id": 9, "name": "Lamp/Light"}, {"id": 11, "name": "dog"},
		{"id": 12, "name": "a=b|c {}"}, {"id": 13, "name": "@"}]}`
	if err := os.WriteFile("instances.json", []byte(instances), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := readTruth("instances.json")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"red box", "dog", "bow (weapon)", "Lamp or Light", "dog (category 11)", "a b or c", "(category 13)"}
	if !slices.Equal(d.names, want) {
		t.Errorf("the queries are %q, want %q", d.names, want)
	}
	phrasings := "\ufeff# of mine\n\n dog = a dog|a {} puppy\nbow_(weapon)=an archer's {}::2\nLamp or Light=a lamp|-a candle\n"
	if err := os.WriteFile("p.txt", []byte(phrasings), 0o644); err != nil {
		t.Fatal(err)
	}
	asked, err := d.asked("p.txt")
	want = []string{"red box", "dog= a dog|a dog puppy", "bow (weapon)=an archer's bow (weapon)::2", "Lamp or Light=a lamp|-a candle",
		"dog (category 11)", "a b or c", "(category 13)"}
	if err != nil || !slices.Equal(asked, want) {
		t.Errorf("phrased, they are %q (%v), want %q", asked, err, want)
	}
}
