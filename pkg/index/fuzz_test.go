package index

import (
	"bytes"
	"errors"
	"testing"
)

// Whatever a shard's JSON holds, it is refused or is what encode writes.
func FuzzManifest(f *testing.F) {
	good, err := manifest{Format: format, Made: made{Width: 3}, Regions: 2, Tombstones: []tombstone{{1, "a", 0, 2}}}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format": 2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrOption) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		if again, err := m.encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q was read, and %q (%v) is written", data, again, err)
		}
	})
}
