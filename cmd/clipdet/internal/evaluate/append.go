package evaluate

import (
	"fmt"
	"io"
	"os"

	"github.com/clipdet/clipdet/pkg/results"
)

// appendJSONL returns a writer of JSON Lines that continues file after the line that ends
// at byte end; 0 means that there is none. It cuts off what follows, such as a
// half-written line, and adds a line end if the last line lacks one. file must be open
// for reading and writing. The caller must close it.
func appendJSONL(file *os.File, end int64) (results.Writer, error) {
	if info, err := file.Stat(); err != nil {
		return nil, fmt.Errorf("continue JSON Lines: %w", err)
	} else if end < 0 || end > info.Size() {
		return nil, fmt.Errorf("%w: byte %d is not within the %d of %s", results.ErrFormat, end, info.Size(), file.Name())
	}
	last := []byte("\n")
	if end > 0 {
		if _, err := file.ReadAt(last, end-1); err != nil {
			return nil, fmt.Errorf("continue JSON Lines: %w", err)
		}
	}
	err := file.Truncate(end)
	if err == nil {
		_, err = file.Seek(end, io.SeekStart)
	}
	if err == nil && last[0] != '\n' {
		_, err = file.WriteString("\n")
	}
	if err != nil {
		return nil, fmt.Errorf("continue JSON Lines: %w", err)
	}
	return results.NewJSONLWriter(file), nil
}
