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

// The limits of a file of templates or phrases.
const (
	maxFileBytes = 1 << 20
	maxLines     = 1000
)

// ReadTemplates reads a template file: one template per line, with the space around it
// removed. Empty lines, lines that start with # and byte order marks are skipped. It
// fails with prompt.ErrTemplate, prompt.ErrUTF8 or prompt.ErrTooLong and names the line.
// It fails with detect.ErrLimit for more than 1,000 templates or 1 MiB, and reads at most
// one byte beyond that.
func ReadTemplates(r io.Reader) ([]string, error) {
	return readTexts(r, prompt.ErrTemplate, prompt.CheckTemplate)
}

// ReadPhrases reads a file of phrases, such as phrases of the background, by the same
// rules. It fails with prompt.ErrPhrase if a line can't be a phrase or the file has none.
func ReadPhrases(r io.Reader) ([]string, error) {
	return readTexts(r, prompt.ErrPhrase, func(line string) error { return prompt.Check("it", line) })
}

// readTexts returns the lines of a file that aren't empty or comments, each checked.
func readTexts(r io.Reader, missing error, check func(line string) error) ([]string, error) {
	var texts []string
	err := readLines(r, limits{maxFileBytes, maxLines}, missing, func(line string) error {
		texts = append(texts, line)
		return check(line)
	})
	if err != nil {
		return nil, err
	}
	return texts, nil
}

// limits bound a file that is read by lines.
type limits struct {
	bytes int64
	lines int
}

// readLines calls take with each line of a file that isn't empty or a comment. If there
// is none, it fails with missing.
func readLines(r io.Reader, most limits, missing error, take func(line string) error) error {
	lines := bufio.NewScanner(&bounded{r, most.bytes, most.bytes})
	number, taken := 0, 0
	for lines.Scan() {
		number++
		line := strings.TrimFunc(lines.Text(), blank)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := take(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if taken++; taken > most.lines {
			return fmt.Errorf("line %d: %w: more than %d lines", number, detect.ErrLimit, most.lines)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d: %w: more than %d bytes", number+1, prompt.ErrTooLong, bufio.MaxScanTokenSize)
	} else if err != nil {
		return fmt.Errorf("line %d: %w", number+1, err)
	}
	if taken == 0 {
		return fmt.Errorf("%w: none in %d lines", missing, number)
	}
	return nil
}

// blank reports whether r is white space or a byte order mark. The mark begins files, and
// occurs inside files that were joined.
func blank(r rune) bool { return r == '\ufeff' || unicode.IsSpace(r) }

// bounded reads at most left bytes, which are most at first. It fails with
// detect.ErrLimit if there are more.
type bounded struct {
	r          io.Reader
	left, most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, b.tooLong()
	}
	return n, err
}

func (b *bounded) tooLong() error {
	return fmt.Errorf("%w: the file has more than %d bytes", detect.ErrLimit, b.most)
}
