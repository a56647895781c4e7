package prompt

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
)

func TestParseQuery(t *testing.T) {
	tests := []struct {
		name, text string
		want       Query
	}{
		{"a name", "dog", Query{Name: "dog"}},
		{"a name with space", "  traffic \t light ", Query{Name: "traffic light"}},
		{"a phrase", "bike=a bicycle", Query{Name: "bike", Phrases: []string{"a bicycle"}}},
		{"phrases", " bike = a bicycle | a  mountain bike ", Query{Name: "bike", Phrases: []string{"a bicycle", "a mountain bike"}}},
		{"= in a phrase", "sum=a sign that says 1+1=2", Query{Name: "sum", Phrases: []string{"a sign that says 1+1=2"}}},
		{"a comma is text", "dog,cat", Query{Name: "dog,cat"}},
		{"quotes are text", `"dog"`, Query{Name: `"dog"`}},
		{"other scripts", "犬=一只狗的照片|🐶", Query{Name: "犬", Phrases: []string{"一只狗的照片", "🐶"}}},
		{"a weight", "cup=a cup|a mug :: 2", Query{Name: "cup", Phrases: []string{"a cup", "a mug"}, Weights: []float32{1, 2}}},
		{"a weight first", "cup=a mug::0.5|a cup", Query{Name: "cup", Phrases: []string{"a mug", "a cup"}, Weights: []float32{0.5, 1}}},
		{":: in a phrase", "code=std::vector::1", Query{Name: "code", Phrases: []string{"std::vector"}, Weights: []float32{1}}},
		{"a negative", "orange=an orange fruit| - the colour  orange", Query{Name: "orange", Phrases: []string{"an orange fruit"}, Negatives: []string{"the colour orange"}}},
		{"negatives alone", "orange=-juice", Query{Name: "orange", Negatives: []string{"juice"}}},
		{"an example", "mug=@my  mug.png", Query{Name: "mug", Examples: []Example{{Path: "my  mug.png"}}}},
		{"an example with words", "mug=a mug|@mug.png::3", Query{Name: "mug", Phrases: []string{"a mug"}, Examples: []Example{{Path: "mug.png", Weight: 3}}}},
		{"an example's box", "mug=@a.png#1,2.5, 30,4e1", Query{Name: "mug", Examples: []Example{{Path: "a.png", Box: &box.Box{X0: 1, Y0: 2.5, X1: 30, Y1: 40}}}}},
		{"a box's weight", "mug=@a.png#1,2,3,4::2", Query{Name: "mug", Examples: []Example{{Path: "a.png", Box: &box.Box{X0: 1, Y0: 2, X1: 3, Y1: 4}, Weight: 2}}}},
		{"a file with #", "mug=@mug#1.png", Query{Name: "mug", Examples: []Example{{Path: "mug#1.png"}}}},
		{"a file with # and a box", "mug=@mug#1.png#0,0,1,1", Query{Name: "mug", Examples: []Example{{Path: "mug#1.png", Box: &box.Box{X1: 1, Y1: 1}}}}},
		{"escapes", `x=\@home|\-5 degrees|\\@|-\-5|a\b`, Query{Name: "x", Phrases: []string{"@home", "-5 degrees", `\@`, `a\b`}, Negatives: []string{"-5"}}},
		{"a name with @", "@home=a home", Query{Name: "@home", Phrases: []string{"a home"}}},
		{"the same phrase twice", "a=b|b", Query{Name: "a", Phrases: []string{"b", "b"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseQuery(test.text)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("ParseQuery(%q) = %+v, %v; want %+v", test.text, got, err, test.want)
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
		{"an example without a name", "@mug.png", ErrQuery, "put NAME= before"},
		{"an example without a file", "mug=@", ErrQuery, "names no file"},
		{"an example's box without a file", "mug=@#1,2,3,4", ErrQuery, "names no file"},
		{"three edges", "mug=@a.png#1,2,3", ErrQuery, "3 numbers"},
		{"an edge of letters", "mug=@a.png#1,2,3,four", ErrQuery, `"four" is no number`},
		{"an edge beyond float32", "mug=@a.png#1,2,3,1e39", ErrQuery, `"1e39" is no number`},
		{"a box inside out", "mug=@a.png#3,2,1,4", ErrQuery, "no inside"},
		{"an infinite box", "mug=@a.png#0,0,inf,4", ErrQuery, "no inside"},
		{"a weight of letters", "mug=a mug::much", ErrQuery, `"much"`},
		{"a weight of 0", "mug=a mug::0", ErrQuery, `"0"`},
		{"a negative weight", "mug=a mug::-1", ErrQuery, `"-1"`},
		{"an infinite weight", "mug=a mug::inf", ErrQuery, `"inf"`},
		{"a weight that is no number", "mug=@mug.png::NaN", ErrQuery, `"NaN"`},
		{"a weight alone", "mug=::2", ErrQuery, "phrase 1 is empty"},
		{"a negative's weight", "mug=a mug|-a glass::2", ErrQuery, "have no weight"},
		{"a negative example", "mug=a mug|-@glass.png", ErrQuery, "only phrases can be negative"},
		{"an empty negative", "mug=a mug|-", ErrQuery, "negative phrase 1 is empty"},
		{"a control character", "do\x00g", ErrQuery, "control character"},
		{"Latin-1", "caf\xe9", ErrUTF8, "name"},
		{"Latin-1 phrase", "coffee=a cup|caf\xe9", ErrUTF8, "phrase 2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseQuery(test.text)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("ParseQuery(%q) = %+v, %v; want %v that says %q", test.text, got, err, test.want, test.says)
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
		{"phrases", Query{Name: "dog", Phrases: []string{"a puppy", "x=1|2"}}, []string{"a puppy", "x=1|2"}, nil},
		{"no phrases", Query{Name: "dog", Phrases: []string{}}, []string{"a dog.", "the dog"}, nil},
		{"negatives alone", Query{Name: "dog", Negatives: []string{"a wolf"}}, []string{"a dog.", "the dog"}, nil},
		{"an example alone", Query{Name: "dog", Examples: []Example{{Path: "dog.png"}}}, nil, nil},
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

// typed writes a query that was parsed.
func typed(q Query) string {
	var parts []string
	escape := func(text string) string {
		if strings.HasPrefix(text, "@") || strings.HasPrefix(text, "-") || strings.HasPrefix(text, `\`) {
			return `\` + text
		}
		return text
	}
	for i, phrase := range q.Phrases {
		part := escape(phrase)
		if q.Weights != nil {
			part += fmt.Sprint("::", q.Weights[i])
		}
		parts = append(parts, part)
	}
	for _, negative := range q.Negatives {
		parts = append(parts, "-"+escape(negative))
	}
	for _, e := range q.Examples {
		part := e.String()
		if e.Weight != 0 {
			part += fmt.Sprint("::", e.Weight)
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return q.Name
	}
	return q.Name + "=" + strings.Join(parts, "|")
}

func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{"dog", "bike=a bicycle|a mountain bike", "=", "|", "a=|", "a={}", "a\x00", "\xff", "\u00a0", "&#32;=&#10;",
		"mug=a mug::2|-a glass|@mug.png|@a#b.png#1,2,3.5,4::0.5", `a=\@|\-|\\\|-\-`, "a=@#,", "a=::", "a=@x::1e-45", "a=-0::"} {
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
		written := typed(query)
		again, err := ParseQuery(written)
		if err != nil || !reflect.DeepEqual(again, query) {
			t.Fatalf("%q was read as %+v; written as %q, it is %+v, %v", text, query, written, again, err)
		}
		if _, err := query.Phrasings(Templates()); err != nil {
			t.Fatalf("ParseQuery(%q) gave %+v, which has no phrasings: %v", text, query, err)
		}
	})
}
