package query

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/box"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/prompt"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, text string
		want       detect.Query
		files      []string
	}{
		{"a name", "dog", detect.Query{Name: "dog"}, nil},
		{"a name with space", "  traffic \t light ", detect.Query{Name: "traffic light"}, nil},
		{"a name with _", "traffic_light", detect.Query{Name: "traffic_light"}, nil},
		{"a phrase with _", "light=a_traffic__light|-_a_lamp", detect.Query{Name: "light", Phrases: []string{"a traffic light"}, Negatives: []string{"a lamp"}}, nil},
		{"a phrase", "bike=a bicycle", detect.Query{Name: "bike", Phrases: []string{"a bicycle"}}, nil},
		{"phrases", " bike = a bicycle | a  mountain bike ", detect.Query{Name: "bike", Phrases: []string{"a bicycle", "a mountain bike"}}, nil},
		{"= in a phrase", "sum=a sign that says 1+1=2", detect.Query{Name: "sum", Phrases: []string{"a sign that says 1+1=2"}}, nil},
		{"a comma is text", "dog,cat", detect.Query{Name: "dog,cat"}, nil},
		{"quotes are text", `"dog"`, detect.Query{Name: `"dog"`}, nil},
		{"other scripts", "犬=一只狗的照片|🐶", detect.Query{Name: "犬", Phrases: []string{"一只狗的照片", "🐶"}}, nil},
		{"a weight", "cup=a cup|a mug :: 2", detect.Query{Name: "cup", Phrases: []string{"a cup", "a mug"}, Weights: []float32{1, 2}}, nil},
		{"a weight first", "cup=a mug::0.5|a cup", detect.Query{Name: "cup", Phrases: []string{"a mug", "a cup"}, Weights: []float32{0.5, 1}}, nil},
		{":: in a phrase", "code=std::vector::1", detect.Query{Name: "code", Phrases: []string{"std::vector"}, Weights: []float32{1}}, nil},
		{"a negative", "orange=an orange fruit| - the colour  orange", detect.Query{Name: "orange", Phrases: []string{"an orange fruit"}, Negatives: []string{"the colour orange"}}, nil},
		{"negatives alone", "orange=-juice", detect.Query{Name: "orange", Negatives: []string{"juice"}}, nil},
		{"an example", "mug=@my  mug.png", detect.Query{Name: "mug", Examples: []detect.Example{{Name: "my  mug.png"}}}, []string{"my  mug.png"}},
		{"an example with words", "mug=a mug|@mug.png::3", detect.Query{Name: "mug", Phrases: []string{"a mug"}, Examples: []detect.Example{{Name: "mug.png", Weight: 3}}}, []string{"mug.png"}},
		{"an example's box", "mug=@a.png#1,2.5, 30,4e1", detect.Query{Name: "mug", Examples: []detect.Example{{Name: "a.png#1,2.5,30,40", Box: &box.Box{X0: 1, Y0: 2.5, X1: 30, Y1: 40}}}}, []string{"a.png"}},
		{"a box's weight", "mug=@a.png#1,2,3,4::2", detect.Query{Name: "mug", Examples: []detect.Example{{Name: "a.png#1,2,3,4", Box: &box.Box{X0: 1, Y0: 2, X1: 3, Y1: 4}, Weight: 2}}}, []string{"a.png"}},
		{"a file with #", "mug=@mug#1.png", detect.Query{Name: "mug", Examples: []detect.Example{{Name: "mug#1.png"}}}, []string{"mug#1.png"}},
		{"a file with # and a box", "mug=@mug#1.png#0,0,1,1", detect.Query{Name: "mug", Examples: []detect.Example{{Name: "mug#1.png#0,0,1,1", Box: &box.Box{X1: 1, Y1: 1}}}}, []string{"mug#1.png"}},
		{"escapes", `x=\@home|\-5 degrees|\\@|-\-5|a\b`, detect.Query{Name: "x", Phrases: []string{"@home", "-5 degrees", `\@`, `a\b`}, Negatives: []string{"-5"}}, nil},
		{"a name with @", "@home=a home", detect.Query{Name: "@home", Phrases: []string{"a home"}}, nil},
		{"the same phrase twice", "a=b|b", detect.Query{Name: "a", Phrases: []string{"b", "b"}}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse(test.text)
			if err != nil || !reflect.DeepEqual(got, Query{test.want, test.files}) {
				t.Errorf("Parse(%q) = %+v, %v; want %+v of %q", test.text, got, err, test.want, test.files)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name, text string
		want       error
		says       string
	}{
		{"nothing", "", detect.ErrQuery, "name is empty"},
		{"space", " \t", detect.ErrQuery, "name is empty"},
		{"only what cleaning removes", "\ufeff", detect.ErrQuery, "name is empty"},
		{"no name", "=a dog", detect.ErrQuery, "name is empty"},
		{"a weight without a name", "dog::2", detect.ErrQuery, "write NAME=dog::2"},
		{"a negative phrase without a name", " -dog", detect.ErrQuery, "write NAME=PHRASE|-dog"},
		{"nothing after =", "dog=", detect.ErrQuery, "phrase 1 is empty"},
		{"nothing before |", "dog=|a dog", detect.ErrQuery, "phrase 1 is empty"},
		{"nothing between", "dog=a dog||a puppy", detect.ErrQuery, "phrase 2 is empty"},
		{"nothing after |", "dog=a dog|", detect.ErrQuery, "phrase 2 is empty"},
		{"phrases without a name", "a dog|a puppy", detect.ErrQuery, "put NAME= before"},
		{"a template as name", "a photo of a {}", detect.ErrQuery, "only templates"},
		{"a template as phrase", "dog=a dog|a photo of a {}.", detect.ErrQuery, "phrase 2"},
		{"an example without a name", "@mug.png", detect.ErrQuery, "put NAME= before"},
		{"an example without a file", "mug=@", detect.ErrQuery, "names no file"},
		{"an example's box without a file", "mug=@#1,2,3,4", detect.ErrQuery, "names no file"},
		{"three edges", "mug=@a.png#1,2,3", detect.ErrQuery, "3 numbers"},
		{"an edge of letters", "mug=@a.png#1,2,3,four", detect.ErrQuery, `"four" is no number`},
		{"an edge beyond float32", "mug=@a.png#1,2,3,1e39", detect.ErrQuery, `"1e39" is no number`},
		{"a box inside out", "mug=@a.png#3,2,1,4", detect.ErrQuery, "no inside"},
		{"an infinite box", "mug=@a.png#0,0,inf,4", detect.ErrQuery, "no inside"},
		{"a weight of letters", "mug=a mug::much", detect.ErrQuery, `"much"`},
		{"a weight of 0", "mug=a mug::0", detect.ErrQuery, `"0"`},
		{"a negative weight", "mug=a mug::-1", detect.ErrQuery, `"-1"`},
		{"an infinite weight", "mug=a mug::inf", detect.ErrQuery, `"inf"`},
		{"a weight that is no number", "mug=@mug.png::NaN", detect.ErrQuery, `"NaN"`},
		{"a weight alone", "mug=::2", detect.ErrQuery, "phrase 1 is empty"},
		{"a negative's weight", "mug=a mug|-a glass::2", detect.ErrQuery, "have no weight"},
		{"a negative example", "mug=a mug|-@glass.png", detect.ErrQuery, "only phrases can be negative"},
		{"an empty negative", "mug=a mug|-", detect.ErrQuery, "negative phrase 1 is empty"},
		{"a control character", "do\x00g", detect.ErrQuery, "control character"},
		{"Latin-1", "caf\xe9", prompt.ErrUTF8, "name"},
		{"Latin-1 phrase", "coffee=a cup|caf\xe9", prompt.ErrUTF8, "phrase 2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse(test.text)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Parse(%q) = %+v, %v; want %v that says %q", test.text, got, err, test.want, test.says)
			}
		})
	}
}

// typed returns a parsed query as it would be typed.
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
		part := "@" + e.Name
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

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"dog", "bike=a bicycle|a mountain bike", "=", "|", "a=|", "a={}", "a\x00", "\xff", "\u00a0", "&#32;=&#10;",
		"mug=a mug::2|-a glass|@mug.png|@a#b.png#1,2,3.5,4::0.5", `a=\@|\-|\\\|-\-`, "a=@#,", "a=::", "a=@x::1e-45", "a=-0::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		query, err := Parse(text)
		if err != nil {
			if !errors.Is(err, detect.ErrQuery) && !errors.Is(err, prompt.ErrUTF8) && !errors.Is(err, prompt.ErrTooLong) {
				t.Fatalf("Parse(%q) failed with %v, want ErrQuery, ErrUTF8 or ErrTooLong", text, err)
			}
			return
		}
		written := typed(query)
		again, err := Parse(written)
		if err != nil || !reflect.DeepEqual(again, query) {
			t.Fatalf("%q was read as %+v; written as %q, it is %+v, %v", text, query, written, again, err)
		}
		if _, err := query.Phrasings(prompt.Templates()); err != nil {
			t.Fatalf("Parse(%q) gave %+v, which has no phrasings: %v", text, query, err)
		}
	})
}
