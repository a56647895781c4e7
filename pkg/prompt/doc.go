// Package prompt provides CLIP's phrasings: templates for the name of a query, phrases of
// the background, and the rules for texts.
//
//	query "dog"         -> "itap of a dog.", "art of the dog.", ...   (Fill)
//	"art of the dog."   -> 49406 794 539 518 1929 269 49407 0 0 ...   (Tokens)
//
// It doesn't need libtorch. Everything here is safe for concurrent use.
package prompt
