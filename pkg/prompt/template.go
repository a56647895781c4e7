package prompt

import (
	"bufio"
	_ "embed" // the many templates
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// ErrTemplate is what a template without exactly one {} fails with, and a list
// of templates that is empty.
var ErrTemplate = errors.New("a template is a text with one {} for the name")

// ErrPhrase is what a line of a file of phrases fails with that can't be one, and a
// file without any.
var ErrPhrase = errors.New("a phrase is a text without {}")

// slot is where a template takes the name.
const slot = "{}"

// Templates are the phrasings that a query's name is filled into by default:
// the seven that OpenAI chose by forward selection from 80 on ImageNet
// (github.com/openai/CLIP, notebooks/Prompt_Engineering_for_ImageNet.ipynb).
// "itap" is "I took a picture"; "a origami" is as published, and changing it
// would change the embedding. The slice is the caller's.
func Templates() []string {
	return []string{
		"itap of a {}.",
		"a bad photo of the {}.",
		"a origami {}.",
		"a photo of the large {}.",
		"a {} in a video game.",
		"art of the {}.",
		"a photo of the small {}.",
	}
}

//go:embed templates.txt
var manyTemplates string

// ManyTemplates are 80 phrasings in the spirit of those that CLIP's authors wrote for
// ImageNet (how a photo was taken, its quality, the thing's size and state, other media),
// in this project's own words; templates.txt beside this file has them. The mean of more
// phrasings depends less on the wording of each, and costs as many times the encoding.
// The slice is the caller's.
func ManyTemplates() []string {
	templates, _ := ParseTemplates(strings.NewReader(manyTemplates)) // a test holds that the file is good
	return templates
}

// BareName is the one template that is the name alone. The slice is the caller's.
func BareName() []string { return []string{slot} }

// Background are phrasings of "nothing of interest" for a box that holds none
// of the queried things: no thing at all, a part of one, or several at once. They
// name no thing or material, wall and sky included, so that they don't compete with
// a query for it. The built-in CLIP was taught these (torchscript/background.txt).
// The slice is the caller's.
func Background() []string {
	return []string{
		"background",
		"an empty background",
		"nothing",
		"a plain surface",
		"a texture",
		"a pattern",
		"a blurry background",
		"a part of something",
		"a piece of something",
		"a cropped detail",
		"many things",
		"a group of things",
	}
}

// Fill puts name into each template's {}, in their order. It fails with
// ErrTemplate if there is no template or one has not exactly one {}, and with
// ErrUTF8. The name is not looked at otherwise.
func Fill(name string, templates []string) ([]string, error) {
	if err := checkUTF8("name", name); err != nil {
		return nil, err
	}
	if len(templates) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrTemplate)
	}
	filled := make([]string, len(templates))
	for i, template := range templates {
		if err := checkTemplate(template); err != nil {
			return nil, fmt.Errorf("template %d: %w", i+1, err)
		}
		filled[i] = strings.Replace(template, slot, name, 1)
	}
	return filled, nil
}

// ParseTemplates reads a template file: one template a line, with the space
// around it removed. Empty lines and lines that start with # are skipped, and
// so is a byte order mark. A line that is no template is ErrTemplate or ErrUTF8
// and the error names its number; so is a file without any template. It holds the
// default [Limits], and fails with ErrLimit beyond them, and with ErrTooLong.
func ParseTemplates(r io.Reader) ([]string, error) { return Limits{}.ParseTemplates(r) }

// ParseTemplates is the function of that name with limits of the caller's own. It
// reads no further than one byte beyond FileBytes.
func (l Limits) ParseTemplates(r io.Reader) ([]string, error) {
	return l.parseLines(r, ErrTemplate, checkTemplate)
}

// ParsePhrases reads a file of phrases, as of the background, by the same rules as
// [ParseTemplates]. A line that is no phrase is ErrPhrase or ErrUTF8 and the error names
// its number; so is a file without any phrase.
func ParsePhrases(r io.Reader) ([]string, error) { return Limits{}.ParsePhrases(r) }

// ParsePhrases is the function of that name with limits of the caller's own.
func (l Limits) ParsePhrases(r io.Reader) ([]string, error) {
	return l.parseLines(r, ErrPhrase, func(line string) error { return checkText(ErrPhrase, "it", line) })
}

// parseLines gives the lines of a file that aren't empty or comments, each checked; none
// at all is the error missing.
func (l Limits) parseLines(r io.Reader, missing error, check func(line string) error) ([]string, error) {
	l = l.orDefault()
	var found []string
	lines := bufio.NewScanner(&bounded{r, l.FileBytes, l.FileBytes})
	number := 0
	for lines.Scan() {
		number++
		line := strings.TrimFunc(lines.Text(), blank)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := check(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if found = append(found, line); len(found) > l.Phrases {
			return nil, fmt.Errorf("line %d: %w: more than %d lines", number, ErrLimit, l.Phrases)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: %w: more than %d bytes", number+1, ErrTooLong, bufio.MaxScanTokenSize)
	} else if err != nil {
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: none in %d lines", missing, number)
	}
	return found, nil
}

// blank is white space, and the byte order mark, which stands at the start of files and where files were joined.
func blank(r rune) bool { return r == '\ufeff' || unicode.IsSpace(r) }

func checkTemplate(template string) error {
	if len(template) > maxBytes {
		return fmt.Errorf("%w: a template of %d bytes, starting with %.40q", ErrTooLong, len(template), template)
	}
	if err := checkUTF8("template", template); err != nil {
		return err
	}
	if n := strings.Count(template, slot); n != 1 {
		return fmt.Errorf("%w: %q has %d", ErrTemplate, template, n)
	}
	return nil
}
