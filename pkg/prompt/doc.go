// Package prompt has the phrasings that CLIP is asked with: templates that a query's name
// is filled into, phrases of the background, and the rules that texts must keep.
//
//	query "dog"         -> "itap of a dog.", "art of the dog.", ...   (Fill)
//	"art of the dog."   -> 49406 794 539 518 1929 269 49407 0 0 ...   (Tokens)
//
// It needs no libtorch. Everything here is safe for concurrent use.
package prompt
