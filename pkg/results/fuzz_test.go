package results

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// small keeps a fuzzed input from taking memory and time.
var small = Limits{Detections: 1000, Line: 1 << 16, Bytes: 1 << 18}

// fuzzStream checks that reading fails only with ErrFormat or ErrLimit. What is read must
// be writable, and the same when it is read again.
func fuzzStream(f *testing.F, readAs, writeAs string) {
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := read(readAs, bytes.NewReader(data), small)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrLimit) {
				t.Fatalf("%q fails with %v, which is no sentinel", data, err)
			}
			return
		}
		text := written(t, writeAs, records)
		again, err := read(writeAs, bytes.NewReader([]byte(text)), Limits{})
		if err != nil || len(records)+len(again) > 0 && !reflect.DeepEqual(again, kept(records)) {
			t.Fatalf("%q was read as %+v, written as\n%s\nand read again as %+v, %v", data, records, text, again, err)
		}
	})
}

func FuzzReadJSON(f *testing.F)  { fuzzStream(f, "json list", "json list") }
func FuzzReadJSONL(f *testing.F) { fuzzStream(f, "jsonl", "jsonl") }
