package archive

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBombsAreRefusedUnread has archives whose records claim, or unpack to, more bytes
// than their files can have.
func TestBombsAreRefusedUnread(t *testing.T) {
	deflated := func(n int) []byte {
		var buffer bytes.Buffer
		w := zip.NewWriter(&buffer)
		for _, name := range []string{"net/data.pkl", "net/code/a.py"} {
			f, err := w.Create(name)
			if err == nil {
				_, err = f.Write(make([]byte, n/2))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return buffer.Bytes()
	}
	// All entries of the directory point to the first record.
	shared := pack(t, entry{"net/data.pkl", make([]byte, 1000)}, entry{"net/1", make([]byte, 1000)}, entry{"net/2", make([]byte, 1000)})
	directory := bytes.Index(shared, []byte("PK\x01\x02"))
	shared = append(shared[:directory-2000:directory-2000], shared[directory:]...)
	end := bytes.LastIndex(shared, []byte("PK\x05\x06"))
	copy(shared[end+16:], []byte{byte(directory - 2000), byte((directory - 2000) >> 8), 0, 0})
	many := make([]entry, recordLimit+1)
	for i := range many {
		many[i] = entry{fmt.Sprintf("net/%d", i), nil}
	}
	for _, test := range []struct {
		name string
		data []byte
		says string
	}{
		{"64 MiB and two bytes unpacked", deflated(64<<20 + 2), "67108866 more once unpacked"},
		{"records that share bytes", shared, "claim 2000 bytes"},
		{"many records", pack(t, many...), "a zip of 65537 files"},
	} {
		if _, err := openArchive(bytes.NewReader(test.data), int64(len(test.data))); !errors.Is(err, ErrNotArchive) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want ErrNotArchive that says %q", test.name, err, test.says)
		}
	}
	fits := deflated(64 << 20)
	if _, err := openArchive(bytes.NewReader(fits), int64(len(fits))); err != nil {
		t.Errorf("64 MiB unpacked: %v", err)
	}
}

// TestResolveReadsWhatItPicks changes a weight. The digest, which covers the zip's
// directory, doesn't show it.
func TestResolveReadsWhatItPicks(t *testing.T) {
	dir := t.TempDir()
	for name, data := range trio(t) {
		write(t, filepath.Join(dir, name), data)
	}
	if _, err := Dir(dir).Resolve(t.Context(), Auto); err != nil {
		t.Fatal(err)
	}
	for name, data := range trio(t) {
		path := filepath.Join(dir, name)
		damaged := bytes.Clone(data)
		damaged[bytes.Index(damaged, []byte("weights"))] ^= 1
		write(t, path, damaged)
		if _, err := Dir(dir).Resolve(t.Context(), Auto); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s with a bit flipped: %v, want ErrDamaged and its path", name, err)
		}
		write(t, path, data)
	}
	// An archive that isn't picked isn't read.
	damaged := archive(t, variant(RPN, BFloat16, ""))
	damaged[bytes.Index(damaged, []byte("weights"))] ^= 1
	write(t, filepath.Join(dir, "b.pt"), damaged)
	if _, err := Dir(dir).Resolve(t.Context(), Auto); err != nil {
		t.Errorf("an archive that isn't picked: %v", err)
	}
}

func TestPipesAreRefused(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "rpn.pt") // it has no writer
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero", os.DevNull, dir} {
		for what, read := range map[string]func(string) error{
			"Inspect": func(path string) error { _, err := Inspect(path); return err },
			"Check":   func(path string) error { return Check(t.Context(), path) },
		} {
			if err := read(path); !errors.Is(err, ErrNotArchive) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s(%s): %v, want ErrNotArchive and the path", what, path, err)
			}
		}
	}
	entries, err := Dir(dir).List()
	if err != nil || len(entries) != 1 || !errors.Is(entries[0].Err, ErrNotArchive) {
		t.Errorf("a directory with a pipe lists %v, %v, want one ErrNotArchive", entries, err)
	}
}

// BenchmarkCheck measures reading an archive of 64 MB, as before each load.
func BenchmarkCheck(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.pt")
	const size = 64 << 20
	write(b, path, sealed(b, valid(RPN), entry{"net/data.pkl", []byte("\x80\x02")}, entry{"net/data/0", make([]byte, size)}))
	b.SetBytes(size)
	for b.Loop() {
		if err := Check(b.Context(), path); err != nil {
			b.Fatal(err)
		}
	}
}
