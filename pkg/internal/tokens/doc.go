// Package tokens turns text into the ids that CLIP's text tower reads: those of OpenAI's
// SimpleTokenizer (github.com/openai/CLIP, clip/simple_tokenizer.py), cleaning of the text
// included. What is known to differ:
//
//   - Mojibake ("cafÃ©" for "café") is taken as it stands; the reference has
//     ftfy guess the encoding and repair it.
//   - Letters and digits newer than Go's Unicode tables (unicode.Version)
//     count as symbols, so that they are split in other places.
//   - More than 30 combining marks on one letter get a COMBINING GRAPHEME
//     JOINER in between, as golang.org/x/text/unicode/norm has it.
//   - Of a text that is longer than 4096 bytes only the start is read, and only
//     by EncodeTruncated.
//
// Everything here is safe for concurrent use.
package tokens
