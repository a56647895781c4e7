package prompt_test

import (
	"fmt"

	"github.com/clipdet/clipdet/pkg/prompt"
)

func ExampleFill() {
	phrasings, err := prompt.Fill("traffic light", []string{"a photo of a {}.", "art of the {}."})
	fmt.Printf("%q %v\n", phrasings, err)
	// Output: ["a photo of a traffic light." "art of the traffic light."] <nil>
}

func ExampleTokens() {
	ids, err := prompt.Tokens("art of the dog.")
	fmt.Println(len(ids), ids[:8], err)
	// Output: 77 [49406 794 539 518 1929 269 49407 0] <nil>
}
