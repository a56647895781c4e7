package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// locked writes the three archives and the archives of more to a directory, and their
// lock file.
func locked(t testing.TB, more map[string][]byte) (dir, lock string) {
	t.Helper()
	dir = t.TempDir()
	files := trio(t)
	for name, data := range more {
		files[name] = data
	}
	for name, data := range files {
		write(t, filepath.Join(dir, name), data)
	}
	made, err := LockDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	return dir, write(t, filepath.Join(dir, "lock.json"), data)
}

func TestLockedTakesWhatWasLocked(t *testing.T) {
	checkpoint := pack(t, entry{"checkpoint/data.pkl", nil})
	dir, lock := locked(t, map[string][]byte{"clip-image.bfloat16.pt": archive(t, variant(CLIPImage, BFloat16, "test clip")), "checkpoint.pt": checkpoint})
	if data, err := os.ReadFile(lock); err != nil || strings.Contains(string(data), "checkpoint.pt") || strings.Count(string(data), "sha256") != 4 {
		t.Errorf("the lock is %s (%v), want the four archives and no checkpoint", data, err)
	}
	elsewhere := t.TempDir()
	for name, set := range map[string]Set{
		"lock beside the models": Locked(lock, ""),
		"lock elsewhere":         Locked(lock, copied(t, dir, elsewhere)),
		"relative":               Locked(relative(t, lock), ""),
	} {
		files, err := set.Resolve(t.Context(), Auto, BFloat16)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if filepath.Base(files.Image.Path) != "clip-image.bfloat16.pt" || files.Image.Manifest.DType != BFloat16 {
			t.Errorf("%s: took %s in %s, want the one in bfloat16", name, files.Image.Path, files.Image.Manifest.DType)
		}
		for _, file := range []File{files.RPN, files.Image, files.Text} {
			if err := file.Unchanged(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		entries, err := set.List()
		if err != nil || len(entries) != 5 {
			t.Errorf("%s: lists %d files (%v), want 5", name, len(entries), err)
		}
		if _, err := set.File(t.Context(), "rpn.pt"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func copied(t *testing.T, from, to string) string {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func relative(t *testing.T, path string) string {
	t.Helper()
	t.Chdir(filepath.Dir(path))
	return filepath.Base(path)
}

func TestLockedRefuses(t *testing.T) {
	other := valid(RPN)
	other.Architecture = "A test" // of the same length, so that the size is the same
	replace := func(name string, data []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), data) }
	}
	change := func(part string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, "rpn.pt"))
			if err != nil {
				t.Fatal(err)
			}
			data[bytes.Index(data, []byte(part))] ^= 1
			write(t, filepath.Join(dir, "rpn.pt"), data)
		}
	}
	tests := []struct {
		name string
		edit func(t *testing.T, dir string)
		err  error
		says string
	}{
		{"a byte of the weights", change("weights"), nil, "rpn.pt: models are not those of the lock file: its sha256 is"},
		{"a byte of the manifest", change("a test"), ErrDamaged, "rpn.pt"},
		{"a byte of the zip's comment", func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, "rpn.pt"))
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)-2] = 1 // the length of the comment
			write(t, filepath.Join(dir, "rpn.pt"), append(data, '!'))
		}, nil, "bytes, not"},
		{"another archive, whole, as long", replace("rpn.pt", archive(t, other)), nil, "its sha256 is"},
		{"two exchanged", func(t *testing.T, dir string) {
			for _, move := range [][2]string{{"rpn.pt", "x"}, {"clip-text.pt", "rpn.pt"}, {"x", "clip-text.pt"}} {
				if err := os.Rename(filepath.Join(dir, move[0]), filepath.Join(dir, move[1])); err != nil {
					t.Fatal(err)
				}
			}
		}, nil, "clip-text.pt"},
		{"one more, which would be chosen", replace("clip-image.bfloat16.pt", archive(t, variant(CLIPImage, BFloat16, "test clip"))), nil,
			"clip-image.bfloat16.pt: models are not those of the lock file: it is not in the lock"},
		{"one more, broken", replace("aa.pt", []byte("torn")), nil, "aa.pt"},
		{"one missing", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "clip-text.pt")); err != nil {
				t.Fatal(err)
			}
		}, fs.ErrNotExist, "clip-text.pt: models are not those of the lock file: it is missing"},
		{"one without its manifest", replace("rpn.pt", pack(t, entry{"net/data.pkl", nil})), nil, "rpn.pt"},
		{"one empty", replace("rpn.pt", nil), ErrNotArchive, "rpn.pt"},
		{"a directory of that name", func(t *testing.T, dir string) {
			if err := errors.Join(os.Remove(filepath.Join(dir, "rpn.pt")), os.Mkdir(filepath.Join(dir, "rpn.pt"), 0o755)); err != nil {
				t.Fatal(err)
			}
		}, nil, "rpn.pt"},
		{"a pipe of that name", func(t *testing.T, dir string) {
			if err := errors.Join(os.Remove(filepath.Join(dir, "rpn.pt")), syscall.Mkfifo(filepath.Join(dir, "rpn.pt"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}, nil, "rpn.pt: models are not those of the lock file: not a TorchScript archive: not a regular file"},
		{"a link out of the directory", func(t *testing.T, dir string) {
			out := filepath.Join(t.TempDir(), "rpn.pt")
			if err := errors.Join(os.Rename(filepath.Join(dir, "rpn.pt"), out), os.Symlink(out, filepath.Join(dir, "rpn.pt"))); err != nil {
				t.Fatal(err)
			}
		}, nil, "rpn.pt"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, lock := locked(t, nil)
			test.edit(t, dir)
			_, err := Locked(lock, "").Resolve(t.Context(), Auto, BFloat16)
			if !errors.Is(err, ErrNotLocked) || test.err != nil && !errors.Is(err, test.err) {
				t.Fatalf("got %v, want ErrNotLocked and %v", err, test.err)
			}
			for _, part := range []string{lock, test.says} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the message %q does not say %q", err, part)
				}
			}
			if errors.Is(err, ErrNoManifest) {
				t.Errorf("%v would be passed over", err)
			}
		})
	}
}

// TestLockedFollowsALinkWithinTheDirectory has a link within the directory. Some file
// systems and clusters exchange a whole directory at once with one.
func TestLockedFollowsALinkWithinTheDirectory(t *testing.T) {
	dir, lock := locked(t, nil)
	err := errors.Join(os.Mkdir(filepath.Join(dir, "v1"), 0o755), os.Rename(filepath.Join(dir, "rpn.pt"), filepath.Join(dir, "v1", "rpn.pt")),
		os.Symlink("v1/rpn.pt", filepath.Join(dir, "rpn.pt")))
	if err != nil {
		t.Fatal(err)
	}
	files, err := Locked(lock, "").Resolve(t.Context(), Auto)
	if err != nil || files.RPN.Unchanged() != nil {
		t.Errorf("got %v and %v, want no error", err, files.RPN.Unchanged())
	}
}

func TestUnchanged(t *testing.T) {
	for name, edit := range map[string]func(path string, data []byte) error{
		"written in place": func(path string, data []byte) error { return os.WriteFile(path, append(data, 0), 0o644) },
		"written and its time set back": func(path string, data []byte) error {
			info, err := os.Stat(path)
			data[0] ^= 1
			return errors.Join(err, os.WriteFile(path, data, 0o644), os.Chtimes(path, info.ModTime(), info.ModTime()))
		},
		"exchanged": func(path string, data []byte) error {
			return errors.Join(os.WriteFile(path+"~", data, 0o644), os.Rename(path+"~", path))
		},
		"exchanged and put back": func(path string, data []byte) error {
			return errors.Join(os.Rename(path, path+"~"), os.WriteFile(path, data, 0o644), os.Rename(path+"~", path))
		},
		"removed": func(path string, _ []byte) error { return os.Remove(path) },
	} {
		_, lock := locked(t, nil)
		files, err := Locked(lock, "").Resolve(t.Context(), Auto)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(files.RPN.Path)
		if err := errors.Join(err, edit(files.RPN.Path, data)); err != nil {
			t.Fatal(err)
		}
		if err := files.RPN.Unchanged(); !errors.Is(err, ErrNotLocked) || !strings.Contains(err.Error(), files.RPN.Path) {
			t.Errorf("%s: got %v, want ErrNotLocked that names the file", name, err)
		}
		if err := files.Text.Unchanged(); err != nil {
			t.Errorf("%s: the other file: %v", name, err)
		}
	}
	if err := (File{Path: "none"}).Unchanged(); err != nil {
		t.Errorf("a file of no lock: %v", err)
	}
}

func TestLockFilesThatCanNotBeUsed(t *testing.T) {
	const sum = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
	one := func(name, kind, size, sha256 string) string {
		return `{"format": 1, "files": [{"name": ` + name + `, "kind": "` + kind + `", "size": ` + size + `, "sha256": "` + sha256 + `"}]}`
	}
	tests := map[string]string{ // what the error says, by the file
		"":                                                "JSON",
		"{":                                               "JSON",
		"[]":                                              "array",
		"{}":                                              "format is 0",
		`{"format": 2, "files": []}`:                      "format is 2 and this clipdet reads 1",
		`{"format": 1}`:                                   "files: want at least one",
		`{"format": 1, "files": [{}]}`:                    "files[0].sha256",
		`{"format": 1, "files": []} x`:                    "after top-level value",
		one(`"../rpn.pt"`, "rpn", "9", sum):               `files[0].name: want the name of a *.pt file without a directory, got "../rpn.pt"`,
		one(`"/etc/rpn.pt"`, "rpn", "9", sum):             "without a directory",
		one(`"a/rpn.pt"`, "rpn", "9", sum):                "without a directory",
		one(`"..\\rpn.pt"`, "rpn", "9", sum):              "without a directory",
		one(`".."`, "rpn", "9", sum):                      "without a directory",
		one(`"rpn"`, "rpn", "9", sum):                     "without a directory",
		one(`"a\u0000.pt"`, "rpn", "9", sum):              "without a directory",
		one(`"\u001b[2J.pt"`, "rpn", "9", sum):            "without a directory",
		one(`"rpn.pt"`, "clip", "9", sum):                 "files[0].kind: want one of",
		one(`"rpn.pt"`, "rpn", "0", sum):                  "files[0].size",
		one(`"rpn.pt"`, "rpn", "-1", sum):                 "files[0].size",
		one(`"rpn.pt"`, "rpn", "1e99", sum):               "1e99",
		one(`"rpn.pt"`, "rpn", "9", sum[1:]):              "files[0].sha256: want 64",
		one(`"rpn.pt"`, "rpn", "9", strings.ToUpper(sum)): "files[0].sha256: want 64",
		strings.Replace(one(`"rpn.pt"`, "rpn", "9", sum), "}]", `}, {"name": "rpn.pt", "kind": "rpn", "size": 9, "sha256": "`+sum+`"}]`, 1): `"rpn.pt" is there twice`,
		strings.Repeat(" ", lockLimit+1): "more than",
	}
	dir, _ := locked(t, nil)
	for text, says := range tests {
		path := write(t, filepath.Join(dir, "lock.json"), []byte(text))
		shown := text[:min(len(text), 99)]
		for _, call := range []func() error{
			func() error { _, err := Locked(path, "").Resolve(t.Context(), Auto); return err },
			func() error { _, err := Locked(path, "").List(); return err },
			func() error { _, err := Locked(path, "").File(t.Context(), "rpn.pt"); return err },
		} {
			if err := call(); !errors.Is(err, ErrLock) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
				t.Errorf("%q: got %v, want ErrLock that names the file and says %q", shown, err, says)
			}
		}
	}
	for _, where := range []string{"", dir} { // as of a missing setting
		if _, err := Locked("", where).Resolve(t.Context(), Auto); !errors.Is(err, ErrLock) || !strings.Contains(err.Error(), "empty") {
			t.Errorf("an empty path of a lock file, models in %q: got %v, want ErrLock that says so", where, err)
		}
	}
	if _, err := Locked(filepath.Join(dir, "none.json"), "").Resolve(t.Context(), Auto); !errors.Is(err, ErrLock) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no lock file: got %v, want ErrLock and fs.ErrNotExist", err)
	}
	_, lock := locked(t, nil)
	if _, err := Locked(lock, filepath.Join(dir, "none")).Resolve(t.Context(), Auto); !errors.Is(err, ErrMissing) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: got %v, want ErrMissing and fs.ErrNotExist", err)
	}
	pipe := filepath.Join(dir, "pipe.json") // it has no writer
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero"} {
		if _, err := Locked(path, "").Resolve(t.Context(), Auto); !errors.Is(err, ErrLock) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want ErrLock that names %s", err, path)
		}
	}
}

func TestLockDirRefuses(t *testing.T) {
	dir, _ := locked(t, nil)
	data, err := os.ReadFile(filepath.Join(dir, "rpn.pt"))
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, []byte("weights"))] ^= 1
	write(t, filepath.Join(dir, "rpn.pt"), data)
	if _, err := LockDir(t.Context(), dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged archive: got %v, want ErrDamaged", err)
	}
	if _, err := LockDir(t.Context(), t.TempDir()); !errors.Is(err, ErrMissing) {
		t.Errorf("an empty directory: got %v, want ErrMissing", err)
	}
}

// FuzzParseLock checks that no lock file crashes the reader, and that an accepted one
// names only files in its directory, and is the same when it is written and read.
func FuzzParseLock(f *testing.F) {
	_, lock := locked(f, nil)
	data, err := os.ReadFile(lock)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(bytes.ReplaceAll(data, []byte("rpn.pt"), []byte("../rpn.pt")))
	f.Add(bytes.ReplaceAll(data, []byte("rpn.pt"), []byte(`a\u0000b.pt`)))
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		lock, err := parseLock(data)
		if err != nil {
			if !errors.Is(err, ErrLock) {
				t.Errorf("%v does not wrap ErrLock", err)
			}
			return
		}
		for _, file := range lock.Files {
			if filepath.Join("dir", file.Name) != "dir/"+file.Name || strings.Count(filepath.Clean(file.Name), "/") != 0 || !filepath.IsLocal(file.Name) {
				t.Errorf("accepted the name %q", file.Name)
			}
		}
		text, err := json.Marshal(lock)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseLock(text)
		if err != nil || len(again.Files) != len(lock.Files) {
			t.Errorf("wrote %s, which is read as %v (%v)", text, again, err)
		}
	})
}
