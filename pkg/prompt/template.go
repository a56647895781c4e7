package prompt

import (
	_ "embed" // templates.txt
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode"

	"github.com/clipdet/clipdet/pkg/internal/tokens"
)

// Errors of this package, for errors.Is.
var (
	// ErrTemplate is returned for a template without exactly one {}, and for an empty
	// list of templates.
	ErrTemplate = errors.New("a template is a text with one {} for the name")
	// ErrPhrase is returned for a text that can't be a phrase.
	ErrPhrase = errors.New("unusable phrase")
	// ErrTooLong is returned for a text of more than CLIP's 77 tokens, including start
	// and end, or of more than 4,096 bytes.
	ErrTooLong = tokens.ErrTooLong
	// ErrUTF8 is returned for text that is not valid UTF-8.
	ErrUTF8 = tokens.ErrUTF8
)

// slot is the place of the name in a template.
const slot = "{}"

// Templates returns the default templates: the seven that OpenAI chose by forward
// selection from 80 on ImageNet (github.com/openai/CLIP,
// notebooks/Prompt_Engineering_for_ImageNet.ipynb). "itap" is "I took a picture". "a
// origami" is as published; changing it would change the embedding. The caller owns the
// slice.
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

// ManyTemplates returns 80 templates, in this project's own words, modelled on those that
// CLIP's authors wrote for ImageNet: how a photo was taken, its quality, the thing's size
// and state, other media. They are in templates.txt. With more templates, the mean
// depends less on the wording of each, and encoding takes proportionally longer. The
// caller owns the slice.
func ManyTemplates() []string {
	var templates []string
	for line := range strings.Lines(manyTemplates) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			templates = append(templates, line)
		}
	}
	return templates
}

// BareName returns one template that is only the name. The caller owns the slice.
func BareName() []string { return []string{slot} }

// Background returns phrasings of "nothing of interest", for a box that holds none of the
// queried things: no thing, a part of one, or several at once. They name no thing or
// material, not even wall or sky, so that they don't compete with a query for it. The
// built-in CLIP was trained on them (torchscript/training/background.txt). The caller
// owns the slice.
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

// Fill replaces the {} of each template with name, and keeps the order. It fails with
// ErrTemplate if there are no templates or one hasn't exactly one {}, with ErrTooLong for
// a template of more than 4,096 bytes, and with ErrUTF8. It doesn't check name otherwise.
func Fill(name string, templates []string) ([]string, error) {
	if err := tokens.CheckUTF8("name", name); err != nil {
		return nil, err
	}
	if len(templates) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrTemplate)
	}
	filled := make([]string, len(templates))
	for i, template := range templates {
		if err := CheckTemplate(template); err != nil {
			return nil, fmt.Errorf("template %d: %w", i+1, err)
		}
		filled[i] = strings.Replace(template, slot, name, 1)
	}
	return filled, nil
}

// CheckTemplate fails with ErrTemplate, ErrUTF8 or ErrTooLong if a text can't be a
// template.
func CheckTemplate(template string) error {
	if len(template) > tokens.MaxBytes {
		return fmt.Errorf("%w: a template of %d bytes, starting with %.40q", ErrTooLong, len(template), template)
	}
	if err := tokens.CheckUTF8("template", template); err != nil {
		return err
	}
	if n := strings.Count(template, slot); n != 1 {
		return fmt.Errorf("%w: %q has %d", ErrTemplate, template, n)
	}
	return nil
}

// Check fails if a text would silently become another text, or none, on its way to CLIP:
// with ErrPhrase if it is empty or has a control character or a {}, with ErrUTF8, or with
// ErrTooLong for more than 4,096 bytes. what is the text's name in the error. [Tokens]
// checks CLIP's own limit.
func Check(what, text string) error {
	if len(text) > tokens.MaxBytes { // Clean takes time in proportion to the text
		return fmt.Errorf("%w: %s has %d bytes, starting with %.40q", ErrTooLong, what, len(text), text)
	}
	if err := tokens.CheckUTF8(what, text); err != nil {
		return err
	}
	switch {
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%w: %s %q has a control character", ErrPhrase, what, text)
	case strings.Contains(text, slot):
		return fmt.Errorf("%w: %s %q has a {}, which only templates have", ErrPhrase, what, text)
	case tokens.Clean(text) == "":
		return fmt.Errorf("%w: %s is empty", ErrPhrase, what)
	}
	return nil
}

var tokenizer = sync.OnceValues(tokens.NewTokenizer)

// Tokens returns the 77 ids that CLIP's text tower reads for a text: 49406 for the start,
// the ids of its words, 49407 for the end, and zeros. It fails with ErrTooLong if they
// don't fit, and with ErrUTF8. The first call reads the vocabulary, 4 MB.
func Tokens(text string) ([]int64, error) {
	t, err := tokenizer()
	if err != nil {
		return nil, err
	}
	return t.Encode(text)
}
