package prompt_test

import (
	"fmt"

	"github.com/clipdet/clipdet/pkg/prompt"
)

func ExampleParseQuery() {
	for _, typed := range []string{"traffic light", "bike=a bicycle|a mountain bike", "bike=", "a bicycle|a bike"} {
		query, err := prompt.ParseQuery(typed)
		if err != nil {
			fmt.Println(err)
			continue
		}
		phrasings, err := query.Phrasings([]string{"a photo of a {}.", "art of the {}."})
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s: %q\n", query.Name, phrasings)
	}
	// Output:
	// traffic light: ["a photo of a traffic light." "art of the traffic light."]
	// bike: ["a bicycle" "a mountain bike"]
	// a query is NAME or NAME=PHRASE|PHRASE: phrase 1 is empty (in "bike=")
	// a query is NAME or NAME=PHRASE|PHRASE: "a bicycle|a bike" has phrases but no name; put NAME= before them
}

func ExampleTokenizer_Encode() {
	tokenizer, err := prompt.NewTokenizer()
	if err != nil {
		fmt.Println(err)
		return
	}
	ids, err := tokenizer.Encode("art of the dog.")
	fmt.Println(len(ids), ids[:8], err)
	// Output: 77 [49406 794 539 518 1929 269 49407 0] <nil>
}

func ExampleParseQuery_parts() {
	query, err := prompt.ParseQuery(`mug=a mug::2|a cup|-a glass|@shelf.jpg#10,20,90,99`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%q by %v, not %q, as in %v\n", query.Phrases, query.Weights, query.Negatives, query.Examples)
	// Output: ["a mug" "a cup"] by [2 1], not ["a glass"], as in [@shelf.jpg#10,20,90,99]
}
