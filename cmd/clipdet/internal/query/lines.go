package query

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/prompt"
)

// Limits of a file of templates or phrases.
const (
	maxFileBytes = 1 << 20
	maxLines     = 1000
)

// ReadTemplates reads a template file: one template a line, with the space around it
// removed. Empty lines and lines that start with # are skipped, and so is a byte order
// mark. It fails with prompt.ErrTemplate, prompt.ErrUTF8 or prompt.ErrTooLong, naming the
// line, and with detect.ErrLimit for more than 1,000 templates or 1 MiB, of which it reads
// no more than one byte beyond.
func ReadTemplates(r io.Reader) ([]string, error) {
	return readLines(r, prompt.ErrTemplate, prompt.CheckTemplate)
}

// ReadPhrases reads a file of phrases, as of the background, by the same rules. A line
// that can't be a phrase, and a file without any, is prompt.ErrPhrase.
func ReadPhrases(r io.Reader) ([]string, error) {
	return readLines(r, prompt.ErrPhrase, func(line string) error { return prompt.Check("it", line) })
}

// readLines returns the lines of a file that aren't empty or comments, each checked; none
// at all is the error missing.
func readLines(r io.Reader, missing error, check func(line string) error) ([]string, error) {
	var texts []string
	lines := bufio.NewScanner(&bounded{r, maxFileBytes})
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
		if texts = append(texts, line); len(texts) > maxLines {
			return nil, fmt.Errorf("line %d: %w: more than %d lines", number, detect.ErrLimit, maxLines)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: %w: more than %d bytes", number+1, prompt.ErrTooLong, bufio.MaxScanTokenSize)
	} else if err != nil {
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("%w: none in %d lines", missing, number)
	}
	return texts, nil
}

// blank reports whether r is white space, or the byte order mark, which stands at the
// start of files and where files were joined.
func blank(r rune) bool { return r == '\ufeff' || unicode.IsSpace(r) }

// bounded reads no more than a number of bytes; one more is detect.ErrLimit.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: the file has more than %d bytes", detect.ErrLimit, maxFileBytes)
	}
	return n, err
}
