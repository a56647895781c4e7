package detect

import (
	"errors"
	"slices"
	"testing"
)

func TestPhrasings(t *testing.T) {
	templates := []string{"a {}.", "the {}"}
	tests := []struct {
		name  string
		query Query
		want  []string
		err   error
	}{
		{"templates", Query{Name: "dog"}, []string{"a dog.", "the dog"}, nil},
		{"phrases", Query{Name: "dog", Phrases: []string{"a puppy", "x=1|2"}}, []string{"a puppy", "x=1|2"}, nil},
		{"no phrases", Query{Name: "dog", Phrases: []string{}}, []string{"a dog.", "the dog"}, nil},
		{"negatives alone", Query{Name: "dog", Negatives: []string{"a wolf"}}, []string{"a dog.", "the dog"}, nil},
		{"an example alone", Query{Name: "dog", Examples: []Example{{Name: "dog.png"}}}, nil, nil},
		{"no name", Query{}, nil, ErrQuery},
		{"weights for others", Query{Name: "dog", Phrases: []string{"a"}, Weights: []float32{1, 2}}, nil, ErrQuery},
		{"a weight of 0", Query{Name: "dog", Phrases: []string{"a"}, Weights: []float32{0}}, nil, ErrQuery},
		{"an empty phrase", Query{Name: "dog", Phrases: []string{""}}, nil, ErrQuery},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.query.Phrasings(templates)
			if !errors.Is(err, test.err) || !slices.Equal(got, test.want) {
				t.Errorf("%+v.Phrasings(%q) = %q, %v; want %q, %v", test.query, templates, got, err, test.want, test.err)
			}
		})
	}
	phrases := []string{"a puppy"}
	got, err := Query{Name: "dog", Phrases: phrases}.Phrasings(nil)
	if err != nil {
		t.Fatalf("phrases need no templates, but Phrasings failed: %v", err)
	}
	if got[0] = "changed"; phrases[0] != "a puppy" {
		t.Error("a change to the phrasings changed the query")
	}
}
