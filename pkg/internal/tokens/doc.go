// Package tokens turns text into the ids that CLIP's text tower reads. It cleans and
// splits text as OpenAI's SimpleTokenizer does (github.com/openai/CLIP,
// clip/simple_tokenizer.py). Known differences are:
//
//   - Mojibake ("cafÃ©" for "café") isn't changed. The reference has ftfy guess the
//     encoding and repair it.
//   - Letters and digits newer than Go's Unicode tables (unicode.Version) count as
//     symbols, so they are split in other places.
//   - More than 30 combining marks on one letter get a COMBINING GRAPHEME JOINER in
//     between, as in golang.org/x/text/unicode/norm.
//   - Of a text of more than 4,096 bytes EncodeTruncated reads the start only, and Encode
//     refuses it.
//
// The package is safe for concurrent use.
package tokens
