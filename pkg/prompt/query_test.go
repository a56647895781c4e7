package prompt

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseQuery(t *testing.T) {
	tests := []struct {
		name, text string
		want       Query
	}{
		{"a name", "dog", Query{Name: "dog"}},
		{"a name with space", "  traffic \t light ", Query{Name: "traffic light"}},
		{"a phrase", "bike=a bicycle", Query{"bike", []string{"a bicycle"}}},
		{"phrases", " bike = a bicycle | a  mountain bike ", Query{"bike", []string{"a bicycle", "a mountain bike"}}},
		{"= in a phrase", "sum=a sign that says 1+1=2", Query{"sum", []string{"a sign that says 1+1=2"}}},
		{"a comma is text", "dog,cat", Query{Name: "dog,cat"}},
		{"quotes are text", `"dog"`, Query{Name: `"dog"`}},
		{"other scripts", "犬=一只狗的照片|🐶", Query{"犬", []string{"一只狗的照片", "🐶"}}},
		{"the same phrase twice", "a=b|b", Query{"a", []string{"b", "b"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseQuery(test.text)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("ParseQuery(%q) = %+q, %v; want %+q", test.text, got, err, test.want)
			}
		})
	}
}

func TestParseQueryErrors(t *testing.T) {
	tests := []struct {
		name, text string
		want       error
		says       string
	}{
		{"nothing", "", ErrQuery, "name is empty"},
		{"space", " \t", ErrQuery, "name is empty"},
		{"only what cleaning removes", "\ufeff", ErrQuery, "name is empty"},
		{"no name", "=a dog", ErrQuery, "name is empty"},
		{"nothing after =", "dog=", ErrQuery, "phrase 1 is empty"},
		{"nothing before |", "dog=|a dog", ErrQuery, "phrase 1 is empty"},
		{"nothing between", "dog=a dog||a puppy", ErrQuery, "phrase 2 is empty"},
		{"nothing after |", "dog=a dog|", ErrQuery, "phrase 2 is empty"},
		{"phrases without a name", "a dog|a puppy", ErrQuery, "put NAME= before"},
		{"a template as name", "a photo of a {}", ErrQuery, "only templates"},
		{"a template as phrase", "dog=a dog|a photo of a {}.", ErrQuery, "phrase 2"},
		{"a control character", "do\x00g", ErrQuery, "control character"},
		{"Latin-1", "caf\xe9", ErrUTF8, "name"},
		{"Latin-1 phrase", "coffee=a cup|caf\xe9", ErrUTF8, "phrase 2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseQuery(test.text)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("ParseQuery(%q) = %+q, %v; want %v that says %q", test.text, got, err, test.want, test.says)
			}
		})
	}
}

func TestPhrasings(t *testing.T) {
	templates := []string{"a {}.", "the {}"}
	tests := []struct {
		name  string
		query Query
		want  []string
		err   error
	}{
		{"templates", Query{Name: "dog"}, []string{"a dog.", "the dog"}, nil},
		{"phrases", Query{"dog", []string{"a puppy", "x=1|2"}}, []string{"a puppy", "x=1|2"}, nil},
		{"no phrases", Query{"dog", []string{}}, []string{"a dog.", "the dog"}, nil},
		{"no name", Query{}, nil, ErrQuery},
		{"an empty phrase", Query{"dog", []string{""}}, nil, ErrQuery},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.query.Phrasings(templates)
			if !errors.Is(err, test.err) || !slices.Equal(got, test.want) {
				t.Errorf("%+q.Phrasings(%q) = %q, %v; want %q, %v", test.query, templates, got, err, test.want, test.err)
			}
		})
	}
	phrases := []string{"a puppy"}
	got, err := Query{"dog", phrases}.Phrasings(nil)
	if err != nil {
		t.Fatalf("phrases need no templates, but Phrasings failed: %v", err)
	}
	if got[0] = "changed"; phrases[0] != "a puppy" {
		t.Error("a change to the phrasings changed the query")
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{"dog", "bike=a bicycle|a mountain bike", "=", "|", "a=|", "a={}", "a\x00", "\xff", "\u00a0", "&#32;=&#10;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		query, err := ParseQuery(text)
		if err != nil {
			if !errors.Is(err, ErrQuery) && !errors.Is(err, ErrUTF8) && !errors.Is(err, ErrTooLong) {
				t.Fatalf("ParseQuery(%q) failed with %v, want ErrQuery, ErrUTF8 or ErrTooLong", text, err)
			}
			return
		}
		written := query.Name
		if len(query.Phrases) > 0 {
			written += "=" + strings.Join(query.Phrases, "|")
		}
		again, err := ParseQuery(written)
		if err != nil || !reflect.DeepEqual(again, query) {
			t.Fatalf("%q was read as %+q; written as %q, it is %+q, %v", text, query, written, again, err)
		}
		if _, err := query.Phrasings(Templates()); err != nil {
			t.Fatalf("ParseQuery(%q) gave %+q, which has no phrasings: %v", text, query, err)
		}
	})
}
