package query

import (
	"slices"
	"testing"

	"github.com/clipdet/clipdet/pkg/eval"
)

func TestOfDatasetNamesEachCategory(t *testing.T) {
	for _, test := range []struct {
		categories, want []string // the ids are 1, 2 and so on
	}{
		{[]string{"dog", "cat"}, []string{"dog", "cat"}},
		{[]string{"dog", "dog"}, []string{"dog", "dog (category 2)"}},
		{[]string{"x", "x (category 3)", "x"}, []string{"x", "x (category 3)", "x (category 3) (category 3)"}},
		{[]string{"x", "x", "x (category 2)"}, []string{"x", "x (category 2)", "x (category 2) (category 3)"}},
		{[]string{"dog::2", "std::vector", "a::b::1"}, []string{"dog 2", "std vector", "a b 1"}},
		{[]string{"@", "(category 3)", "="}, []string{"(category 1)", "(category 3)", "(category 3) (category 3)"}},
	} {
		d := &eval.Dataset{Images: []eval.Image{{ID: 1, FileName: "a.jpg"}}}
		for i, name := range test.categories {
			d.Categories = append(d.Categories, eval.Category{ID: int64(i + 1), Name: name})
		}
		got, err := OfDataset(d)
		if err != nil || !slices.Equal(got.Names, test.want) {
			t.Errorf("%q: got %q, %v, want %q", test.categories, got.Names, err, test.want)
		}
	}
}
