package detect

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/prompt"
)

func blankQueries(n, phrases int) []Query {
	list := make([]Query, n)
	for i := range list {
		list[i] = Query{Name: fmt.Sprint(i), Phrases: make([]string, phrases)}
	}
	return list
}

func TestLimitsCheck(t *testing.T) {
	seven := prompt.Templates()
	for _, test := range []struct {
		name      string
		limits    Limits
		templates []string
		queries   []Query
		says      string // "" if it passes
	}{
		{"the default", Limits{}, seven, blankQueries(10_000, 0), ""},
		{"a query too many", Limits{}, seven, blankQueries(10_001, 0), "10001 queries, and 10000"},
		{"a limit of one's own", Limits{Queries: 2}, seven, blankQueries(3, 0), "3 queries, and 2"},
		{"many phrases", Limits{}, seven, blankQueries(250, 1000), ""},
		{"a phrase too many", Limits{}, seven, blankQueries(1, 1001), "1001 phrases"},
		{"a template too many", Limits{Phrases: 6}, seven, blankQueries(1, 1), "7 templates, and 6"},
		{"one long query among many", Limits{}, seven, append(blankQueries(9999, 0), blankQueries(1, 500)...), "10000 queries of up to 500"},
		{"rows of one's own", Limits{Total: 69_999}, seven, blankQueries(10_000, 0), "70000 rows, and there are 69999"},
	} {
		err := test.limits.check(test.templates, test.queries)
		if test.says == "" && err != nil || test.says != "" && (!errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: %v, want ErrLimit that says %q", test.name, err, test.says)
		}
	}
}

// TestOptionsCheck checks that Check finds, without models, what Queries would refuse.
func TestOptionsCheck(t *testing.T) {
	for _, test := range []struct {
		name    string
		options Options
		queries []Query
		want    error
	}{
		{"good ones", Options{}, []Query{{Name: "dog"}, {Name: "cat", Phrases: []string{"a cat"}, Negatives: []string{"a tiger"}}}, nil},
		{"an example without an image", Options{}, []Query{{Name: "dog", Examples: []Example{{}}}}, nil},
		{"an embedding", Options{}, []Query{{Name: "dog", Examples: []Example{{Embedding: []uint16{0x3c00, 0}}}}}, nil},
		{"an embedding of zeros", Options{}, []Query{{Name: "dog", Examples: []Example{{Embedding: []uint16{0, 0x8000}}}}}, ErrQuery},
		{"an embedding that is infinite", Options{}, []Query{{Name: "dog", Examples: []Example{{Embedding: []uint16{0x7c00, 0}}}}}, ErrQuery},
		{"none", Options{}, nil, ErrQuery},
		{"a name twice", Options{}, []Query{{Name: "dog"}, {Name: "dog"}}, ErrQuery},
		{"no name", Options{}, []Query{{}}, ErrQuery},
		{"too many", Options{Limits: Limits{Queries: 1}}, []Query{{Name: "dog"}, {Name: "cat"}}, ErrLimit},
		{"too long", Options{}, []Query{{Name: "dog", Phrases: []string{strings.Repeat("dog ", 80)}}}, prompt.ErrTooLong},
		{"too long a background", Options{Background: []string{strings.Repeat("dog ", 80)}}, []Query{{Name: "dog"}}, prompt.ErrTooLong},
		{"a template that is none", Options{Templates: []string{"a photo"}}, []Query{{Name: "dog"}}, prompt.ErrTemplate},
		{"Latin-1", Options{}, []Query{{Name: "caf\xe9"}}, prompt.ErrUTF8},
		{"an option", Options{Batch: -1}, []Query{{Name: "dog"}}, ErrOption},
		{"a type of weights that is none", Options{DType: "float99"}, []Query{{Name: "dog"}}, ErrOption},
		{"the rule for a type of weights", Options{DType: Unmeasured}, []Query{{Name: "dog"}}, nil},
		{"a device that is none", Options{Device: "gpu"}, []Query{{Name: "dog"}}, ErrDevice},
		{"a device that isn't here", Options{Device: "cuda:99"}, []Query{{Name: "dog"}}, nil},
	} {
		if err := test.options.Check(test.queries...); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}
