package outcome

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/intake"
	"github.com/clipdet/clipdet/pkg/results"
)

// madeWithFile is beside the results of --resume and says what they were made with. A
// running process holds a lock on it.
const madeWithFile = "detections.resume.json"

// Done counts the records of pictures that are done already, by their paths.
type Done map[string]int

// Left returns the inputs that are not done, and a name for the drawings of each, as
// [intake.Names] gives them to all inputs. An input that occurs twice has two records.
func (d Done) Left(inputs []intake.Input) (left []intake.Input, names []string) {
	count := maps.Clone(d)
	all := intake.Names(inputs)
	for i, in := range inputs {
		if count[in.Path] > 0 {
			count[in.Path]--
			continue
		}
		left, names = append(left, in), append(names, all[i])
	}
	return left, names
}

// Resume returns a Writer that continues DIR/detections.jsonl, or begins it, and what is
// done already. Each record is added to the file at once, so that a process that is
// killed loses only the pictures in hand. Records of failed pictures and a half-written
// line are removed, and those pictures are tried again. made is what results depend on,
// by name; if the file was made with something else, Resume fails and names it. It fails
// too if another process writes to the file.
func Resume(stdout io.Writer, dir string, made map[string]any) (_ *Writer, _ Done, err error) {
	lock, err := os.OpenFile(filepath.Join(dir, madeWithFile), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, nil, exit.Inputs(fmt.Errorf("--resume: %w", err))
	}
	defer func() {
		if err != nil {
			_ = lock.Close() // err says what is wrong
		}
	}()
	if err := files.Lock(lock); err != nil {
		return nil, nil, exit.Inputs(fmt.Errorf("--resume: %s: %w", lock.Name(), err))
	}
	path := filepath.Join(dir, fileName("jsonl"))
	if err := sameMade(lock, path, made); err != nil {
		return nil, nil, err
	}
	done, err := compact(path)
	if errors.Is(err, results.ErrFormat) || errors.Is(err, results.ErrLimit) {
		return nil, nil, fmt.Errorf("--resume: %s: %w; remove it, or choose another --out", path, err)
	}
	if err != nil {
		return nil, nil, exit.Inputs(fmt.Errorf("--resume: %s: %w", path, err))
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return nil, nil, exit.Inputs(fmt.Errorf("--resume: %w", err))
	}
	end := func() error { return errors.Join(file.Close(), lock.Close()) } // which unlocks it
	return &Writer{Writer: results.NewJSONLWriter(io.MultiWriter(stdout, file)), end: end}, done, nil
}

// sameMade writes what results are made with to the file if there are no results at path,
// or else compares it with what the file has.
func sameMade(file *os.File, path string, made map[string]any) error {
	want, err := encodeMade(made)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(file)
	if err != nil {
		return exit.Inputs(fmt.Errorf("--resume: %w", err))
	}
	var has map[string]json.RawMessage
	_, err = os.Stat(path)
	if begin := errors.Is(err, fs.ErrNotExist); begin || json.Unmarshal(data, &has) != nil {
		if !begin {
			return fmt.Errorf("--resume: %s is there and wasn't made with --resume; remove it, or choose another --out", path)
		}
		text, err := json.Marshal(want)
		if err == nil {
			err = file.Truncate(0)
		}
		if err == nil {
			_, err = file.WriteAt(append(text, '\n'), 0)
		}
		if err != nil {
			return exit.Inputs(fmt.Errorf("--resume: %w", err))
		}
		return nil
	}
	if other := otherMade(has, want); other != "" {
		return fmt.Errorf("--resume: %s was made with other %s; remove it, or choose another --out", path, other)
	}
	return nil
}

func encodeMade(made map[string]any) (map[string]json.RawMessage, error) {
	encoded := map[string]json.RawMessage{}
	for name, value := range made {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		encoded[name] = text
	}
	return encoded, nil
}

// otherMade returns the first name whose value isn't that of want, with where the two
// differ and both values there, or "".
func otherMade(has, want map[string]json.RawMessage) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if bytes.Equal(has[name], want[name]) {
			continue
		}
		var there, here any
		if json.Unmarshal(has[name], &there) != nil || json.Unmarshal(want[name], &here) != nil {
			return name
		}
		at, there, here := differ(there, here)
		return fmt.Sprintf("%s:%s %s, not %s", name, at, short(there), short(here))
	}
	return ""
}

// differ returns where two values of JSON differ first, as " queries 2 phrases", and what
// each has there.
func differ(a, b any) (at string, inA, inB any) {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			break
		}
		keys := slices.Sorted(maps.Keys(a))
		for _, key := range slices.Sorted(maps.Keys(b)) {
			if _, both := a[key]; !both {
				keys = append(keys, key)
			}
		}
		for _, key := range keys {
			if !reflect.DeepEqual(a[key], b[key]) {
				at, inA, inB = differ(a[key], b[key])
				return " " + key + at, inA, inB
			}
		}
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			break
		}
		for i := range a {
			if !reflect.DeepEqual(a[i], b[i]) {
				at, inA, inB = differ(a[i], b[i])
				return fmt.Sprintf(" %d%s", i+1, at), inA, inB
			}
		}
	}
	return "", a, b
}

// short returns the beginning of a value's JSON.
func short(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	const most = 200
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}

// compact removes from a file of JSON Lines the records of failed pictures and a
// half-written last line, and counts the others. A missing file has none.
func compact(path string) (Done, error) {
	done := Done{}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	err = files.Write(path, func(w io.Writer) error {
		out := results.NewJSONLWriter(w)
		for line, err := range results.ReadJSONL(file, results.Limits{Bytes: 1 << 50}) {
			if err != nil {
				return err
			}
			if line.Record.Error != "" {
				continue
			}
			done[line.Record.Image]++
			if err := out.Write(line.Record); err != nil {
				return err
			}
		}
		return nil
	})
	return done, err
}
