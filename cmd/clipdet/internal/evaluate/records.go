package evaluate

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/version"
	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/results"
)

// recordLimits allows as many records as fit on a disk.
var recordLimits = results.Limits{Bytes: 1 << 50}

// indifferent are the flags that madeWith leaves out: what is found doesn't depend on
// them, except for last digits, or madeWith records their effect in another form, such as
// the digests of the models.
var indifferent = []string{
	"images", "annotations", "json", "results", "html", "records", "shard", "query", "queries", "models", "device", "dtype",
	"threads", "batch", "batch-pictures", "text-cache", "memory", "verbose", "help",
}

// madeWith returns everything that records depend on, by name: the program, the models,
// the annotations and the flags. If a flag names a file, its value is the digest of the
// content.
func (f *Flags) madeWith(cmd *cobra.Command, t *truth, info detect.Info) (map[string]string, error) {
	device, _, _ := strings.Cut(info.Device, ":")
	made := map[string]string{
		"clipdet": version.Clipdet(), "annotations": t.digest, "device": device,
		"rpn": info.RPN.Manifest.Digest, "clip-image": info.Image.Manifest.Digest, "clip-text": info.Text.Manifest.Digest,
	}
	var err error
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		value := flag.Value.String()
		switch {
		case slices.Contains(indifferent, flag.Name) || err != nil:
			return
		case flag.Name == "max-detections":
			value = strconv.Itoa(f.kept)
		case namesFile(flag.Name, value):
			value, err = f.contentOf(flag.Name, value)
		}
		made["--"+flag.Name] = value
	})
	return made, err
}

// namesFile reports whether the value of a flag is the path of a text file, and not one
// of the words with a meaning of their own.
func namesFile(flag, value string) bool {
	words := map[string][]string{"templates": {"", "none", "default", "many"}, "background": {"", "none", "default"}, "phrasings": {""}}
	meaning, takesFile := words[flag]
	return takesFile && !slices.Contains(meaning, value)
}

// contentOf returns the digest of the file that a flag names. For a directory or a
// missing file it returns the path, because the reader of the file reports the error. The
// content of a pipe can't be compared later, so a pipe is an error if records are kept.
func (f *Flags) contentOf(flag, path string) (string, error) {
	stat, err := os.Stat(path)
	switch {
	case err != nil || stat.IsDir():
		return path, nil
	case !stat.Mode().IsRegular():
		if f.recordsFile() != "" {
			return "", fmt.Errorf("--%s %s: the content of a pipe or a device can't be compared when the run is continued; copy it to a file", flag, path)
		}
		return path, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return "sha256 " + hex.EncodeToString(hash.Sum(nil)), nil
}

// differences returns an error for each difference between h, of the existing records,
// and other.
func differences(h, other results.EvalHeader) (lines []error) {
	differ := func(name, records, wanted string) {
		if records != wanted {
			lines = append(lines, fmt.Errorf("%s: the records have %q, and this is %q", name, records, wanted))
		}
	}
	names := maps.Clone(h.Made)
	maps.Copy(names, other.Made)
	differ("form", fmt.Sprint(h.Format), fmt.Sprint(other.Format))
	differ("--shard", h.Shard, other.Shard)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		differ(name, h.Made[name], other.Made[name])
	}
	return lines
}

// recordFile is the records by picture name and the file that keeps them.
type recordFile struct {
	found  map[string]results.Record
	file   *os.File // nil: none
	writer results.Writer
}

// openRecords opens the file of records at path to continue it, or creates it. An empty
// path keeps no file. The file is locked until it is closed. If it holds something else,
// openRecords fails and leaves it unchanged.
func openRecords(path string, header results.EvalHeader) (_ *recordFile, err error) {
	header.Format = results.EvalFormat
	if path == "" {
		return &recordFile{found: map[string]results.Record{}}, nil
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("--records: %w", err)
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	if err := files.Lock(file); err != nil {
		return nil, exit.Inputs(fmt.Errorf("--records %s: %w", path, err))
	}
	kept, found, end, err := readRecords(file)
	switch {
	case errors.Is(err, errNoRecords):
		if end, err = writeHeader(file, header); err != nil {
			return nil, exit.Inputs(fmt.Errorf("--records: %w", err))
		}
	case err == nil:
		if lines := differences(kept, header); len(lines) > 0 {
			head := fmt.Errorf("--records %s was made otherwise; remove it, or name another", path)
			return nil, errors.Join(append([]error{head}, lines...)...)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("--records %s: %w", path, err)
	}
	writer, err := appendJSONL(file, end)
	if err != nil {
		return nil, exit.Inputs(fmt.Errorf("--records: %w", err))
	}
	return &recordFile{found, file, writer}, nil
}

func writeHeader(file *os.File, header results.EvalHeader) (end int64, err error) {
	line, err := json.Marshal(header)
	if err == nil {
		err = file.Truncate(0)
	}
	if err != nil {
		return 0, err
	}
	n, err := file.WriteAt(append(line, '\n'), 0)
	return int64(n), err
}

// errNoRecords is the error of an empty file, or one whose first line was cut off by an
// interruption.
var errNoRecords = errors.New("it is empty")

// readRecords reads a file of records. found has the last record of each picture by its
// name, and end is the offset after the last whole record.
func readRecords(r io.Reader) (header results.EvalHeader, found map[string]results.Record, end int64, err error) {
	found = map[string]results.Record{}
	const most = 1 << 20
	in := bufio.NewReaderSize(r, most)
	line, err := in.ReadSlice('\n')
	start := []byte(`{"clipdet_eval":`)
	if whole := bytes.HasPrefix(line, start); !whole && !bytes.HasPrefix(start, line) || errors.Is(err, bufio.ErrBufferFull) {
		return header, found, 0, fmt.Errorf("%w: it does not begin as records of eval do", results.ErrFormat)
	}
	if errors.Is(err, io.EOF) {
		return header, found, 0, errNoRecords
	}
	if err != nil {
		return header, found, 0, err
	}
	if err := json.Unmarshal(line, &header); err != nil {
		return header, found, 0, fmt.Errorf("%w: line 1: %w", results.ErrFormat, err)
	}
	first := int64(len(line))
	end = first
	for line, err := range results.ReadJSONL(in, recordLimits) {
		if err != nil {
			return header, found, 0, fmt.Errorf("after the first line: %w", err)
		}
		found[line.Record.Image] = line.Record
		end = first + line.End
	}
	return header, found, end, nil
}

// add keeps a record. If the format can't hold it, the record of that error is kept
// instead.
func (r *recordFile) add(record results.Record) error {
	if r.writer != nil {
		err := r.writer.Write(record)
		if errors.Is(err, results.ErrRecord) { // this picture failed, not the run
			record = results.Of(record.Image, record.ID, nil, err)
			err = r.writer.Write(record)
		}
		if err != nil {
			return exit.Inputs(fmt.Errorf("--records: %w", err))
		}
	}
	r.found[record.Image] = record
	return nil
}

func (r *recordFile) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
