package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/clipdet/clipdet/cmd/clipdet-beam/internal/s3test"
)

// serverProgram is a real S3 server.
var serverProgram string

func TestMain(m *testing.M) {
	code, err := testAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func testAll(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "store-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if serverProgram, err = s3test.Install(dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// large is more than the parts in which S3's client sends.
const large = 20 << 20

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func writeAll(name string, data []byte) error {
	return Write(context.Background(), name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func closeAfter(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if err := Close(); err != nil {
			t.Error(err)
		}
	})
}

// kind is a kind of place, with the path at which a file of it lies.
type kind struct {
	name string
	dir  string
	at   func(file string) string
}

func kinds(t *testing.T) []kind {
	t.Helper()
	s := s3test.New(t, serverProgram)
	closeAfter(t)
	in := func(dir string) func(string) string {
		return func(file string) string { return filepath.Join(dir, file) }
	}
	path, file := t.TempDir(), t.TempDir()
	return []kind{{"path", path, in(path)}, {"file", "file://" + file, in(file)}, {"s3", s.URL(), s.File}}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	names := []string{
		"a.jsonl", "deep/er/shard-00003.jsonl", "with space.jpg", "100%.jpg", "per%20cent", "what?.jpg", "no#1", "plus+&=;@$!',()",
		"größe/写真.jpg", "..dots..", "a:b", "s3://like", "file:x",
	}
	for _, kind := range kinds(t) {
		for _, file := range names {
			t.Run(kind.name+"/"+file, func(t *testing.T) {
				name, data := Join(kind.dir, file), []byte("of "+file)
				file = strings.ReplaceAll(file, "://", ":/") // as Join cleans it
				if there, err := Exists(t.Context(), name); there || err != nil {
					t.Fatalf("before: Exists(%s) = %v, %v", name, there, err)
				}
				if err := writeAll(name, data); err != nil {
					t.Fatal(err)
				}
				stored, err := os.ReadFile(kind.at(file))
				if err != nil || !bytes.Equal(stored, data) {
					t.Fatalf("%s was stored as %q, %v", name, stored, err)
				}
				if got, err := Read(t.Context(), name, 100); err != nil || !bytes.Equal(got, data) {
					t.Errorf("Read(%s) = %q, %v", name, got, err)
				}
				if there, err := Exists(t.Context(), name); !there || err != nil {
					t.Errorf("after: Exists(%s) = %v, %v", name, there, err)
				}
			})
		}
		for _, size := range []int{0, 1, 511, 512, large} {
			t.Run(fmt.Sprintf("%s/%d bytes", kind.name, size), func(t *testing.T) {
				name, data := Join(kind.dir, "bytes"), randomBytes(size)
				for range 2 { // the second time it replaces
					if err := writeAll(name, data); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := Read(t.Context(), name, int64(size)); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes and error %v, want %d", len(got), err, size)
				}
				if size == 0 {
					return
				}
				limit := int64(size - 1)
				got, err := Read(t.Context(), name, limit)
				if got != nil || err == nil || !strings.Contains(err.Error(), fmt.Sprint("more than the ", limit, " bytes")) {
					t.Errorf("beyond the limit: %d bytes and error %v", len(got), err)
				}
			})
		}
	}
}

// A file is whole under its name, or as it was.
func TestWholeOrNothing(t *testing.T) {
	failure := errors.New("the shard failed")
	tests := []struct {
		name  string
		write func(ctx context.Context, cancel func(), w io.Writer) error
		want  error
	}{
		{"at once", func(context.Context, func(), io.Writer) error { return failure }, failure},
		{"after some bytes", func(_ context.Context, _ func(), w io.Writer) error {
			_, err := w.Write(randomBytes(100))
			return errors.Join(err, failure)
		}, failure},
		{"after parts", func(_ context.Context, _ func(), w io.Writer) error {
			_, err := w.Write(randomBytes(large))
			return errors.Join(err, failure)
		}, failure},
		{"cancelled", func(_ context.Context, cancel func(), w io.Writer) error {
			_, err := w.Write(randomBytes(1000))
			cancel()
			return err
		}, context.Canceled},
	}
	for _, kind := range kinds(t) {
		for _, test := range tests {
			for _, before := range []string{"", "as it was"} {
				t.Run(fmt.Sprintf("%s/%s/%q", kind.name, test.name, before), func(t *testing.T) {
					file := strings.ReplaceAll(test.name, " ", "-") + "/" + before + "x"
					name := Join(kind.dir, file)
					if before != "" {
						if err := writeAll(name, []byte(before)); err != nil {
							t.Fatal(err)
						}
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					err := Write(ctx, name, func(w io.Writer) error { return test.write(ctx, cancel, w) })
					if !errors.Is(err, test.want) {
						t.Errorf("error %v, want %v", err, test.want)
					}
					stored, err := os.ReadFile(kind.at(file))
					if before == "" && !errors.Is(err, fs.ErrNotExist) || string(stored) != before {
						t.Errorf("afterwards it holds %d bytes (%v), want %q", len(stored), err, before)
					}
				})
			}
		}
		t.Run(kind.name+"/panic", func(t *testing.T) {
			name := Join(kind.dir, "panic")
			func() {
				defer func() { recover() }()
				_ = Write(t.Context(), name, func(w io.Writer) error {
					w.Write([]byte("half"))
					panic("in the shard") //nolint:forbidigo // what is left by code that fails so
				})
			}()
			if _, err := os.Stat(kind.at("panic")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something is there: %v", err)
			}
		})
		t.Run(kind.name+"/nothing else is left", func(t *testing.T) {
			err := filepath.WalkDir(kind.at("."), func(path string, entry fs.DirEntry, err error) error {
				switch {
				case err != nil:
					return err
				case entry.Name() == ".sgwtmp": // parts that arrived while the upload was given up
					return filepath.SkipDir
				case !entry.IsDir() && entry.Name() != "as it wasx":
					t.Errorf("%s is left", path)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A writer that overlooks an error, as of a full disk, doesn't publish.
func TestOverlookedError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	out := &sticky{Writer: full}
	if _, err := out.Write([]byte("x")); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a full disk gives %v", err)
	}
	out.Writer = io.Discard
	if n, err := out.Write([]byte("x")); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the next write gives %d, %v", n, err)
	}
}

func TestNotThere(t *testing.T) {
	s := s3test.New(t, serverProgram)
	closeAfter(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Run("nothing", func(t *testing.T) {
		for _, name := range []string{filepath.Join(dir, "a", "b"), "file://" + dir + "/a", s.URL("none"), s.URL("a", "b")} {
			if _, err := Read(t.Context(), name, 10); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), name) {
				t.Errorf("Read(%s): %v", name, err)
			}
			if there, err := Exists(t.Context(), name); there || err != nil {
				t.Errorf("Exists(%s) = %v, %v", name, there, err)
			}
		}
	})
	// These are mistakes, which a pipeline mustn't take for work that isn't done yet.
	wrong := []struct{ name, says string }{
		{s3test.URL(s.Address, "another", "x"), "no such bucket"},
		{s3test.URL(s3test.FreeAddress(t), "bucket", "x"), "connection refused"},
		{strings.Replace(s.URL("x"), "region=us-east-1", "unknown=1", 1), "unknown"},
		{filepath.Join(dir, "file", "x"), "not a directory"},
		{"ftp://host/x", "scheme ftp"},
	}
	for _, test := range wrong {
		t.Run(test.says, func(t *testing.T) {
			start := time.Now()
			_, readErr := Read(t.Context(), test.name, 10)
			there, existsErr := Exists(t.Context(), test.name)
			for _, err := range []error{readErr, existsErr, writeAll(test.name, []byte("x"))} {
				if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%s: error %v, want one of %q", test.name, err, test.says)
				}
			}
			if there {
				t.Errorf("%s exists", test.name)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Run("not a file", func(t *testing.T) {
		for _, name := range []string{dir, filepath.Join(dir, "pipe"), os.DevNull} {
			if _, err := Read(t.Context(), name, 10); err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("Read(%s): %v", name, err)
			}
		}
		if there, err := Exists(t.Context(), dir); there || err == nil {
			t.Errorf("Exists(%s) = %v, %v", dir, there, err)
		}
	})
}

func TestCredentials(t *testing.T) {
	s := s3test.New(t, serverProgram)
	closeAfter(t)
	if err := writeAll(s.URL("x"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	wrong := s.URL("x") + "&fips=false" // a bucket is opened once for each URL
	t.Run("wrong", func(t *testing.T) { failsWith(t, wrong, "AWS_SECRET_ACCESS_KEY") })
	s3test.WithoutCredentials(t)
	none := s.URL("x") + "&dualstack=false"
	t.Run("s3", func(t *testing.T) { failsWith(t, none, "AWS_ACCESS_KEY_ID") })
	t.Run("azblob", func(t *testing.T) { failsWith(t, "azblob://container/x", "AZURE_STORAGE_ACCOUNT") })
	t.Run("no region", func(t *testing.T) { failsWith(t, "s3://bucket/x?anonymous=true", "AWS_REGION") })
}

// failsWith holds that each operation fails within a minute, and says what to set.
func failsWith(t *testing.T, name, says string) {
	t.Helper()
	start := time.Now()
	_, readErr := Read(t.Context(), name, 10)
	_, existsErr := Exists(t.Context(), name)
	for _, err := range []error{readErr, existsErr, writeAll(name, []byte("x"))} {
		if err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that names %s", err, says)
		}
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}

func TestThousandReadsAtOnce(t *testing.T) {
	s := s3test.New(t, serverProgram)
	closeAfter(t)
	const files, reads = 50, 1000
	data := randomBytes(files + 100_000)
	of := func(i int) []byte { return data[i%files:][:100_000] }
	for i := range files {
		if err := writeAll(s.URL(fmt.Sprint(i)), of(i)); err != nil {
			t.Fatal(err)
		}
	}
	var group errgroup.Group
	for i := range reads {
		group.Go(func() error {
			got, err := Read(t.Context(), s.URL(fmt.Sprint(i%files)), 100_000)
			if err == nil && !bytes.Equal(got, of(i)) {
				err = fmt.Errorf("read %d has other bytes", i)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(shared.open) != 1 {
		t.Errorf("%d buckets are open, want 1", len(shared.open))
	}
	if err := Close(); err != nil || len(shared.open) != 0 {
		t.Errorf("after Close %d buckets are open, error %v", len(shared.open), err)
	}
	if _, err := Read(t.Context(), s.URL("0"), 100_000); err != nil {
		t.Errorf("a read after Close: %v", err)
	}
}

// An answer that breaks off is asked for again, but not for ever.
func TestAnswersThatBreakOff(t *testing.T) {
	for _, test := range []struct {
		cuts int
		ok   bool
	}{{0, true}, {2, true}, {1000, false}} {
		t.Run(fmt.Sprint(test.cuts), func(t *testing.T) {
			s := s3test.New(t, serverProgram)
			closeAfter(t)
			data := randomBytes(1 << 20)
			if err := writeAll(s.URL("x"), data); err != nil {
				t.Fatal(err)
			}
			name := s3test.URL(s3test.Cutter(t, s.Address, test.cuts, 300_000), "bucket", "x")
			got, err := Read(t.Context(), name, 1<<20)
			if ok := err == nil && bytes.Equal(got, data); ok != test.ok || (err == nil) != test.ok {
				t.Errorf("%d bytes and error %v", len(got), err)
			}
		})
	}
}

// Whatever happens to a server, there is an error within a time.
func TestServerEnds(t *testing.T) {
	const bound = time.Minute // Amazon's client tries three times, up to 20 s apart
	s := s3test.New(t, serverProgram)
	closeAfter(t)
	if err := writeAll(s.URL("x"), randomBytes(1<<20)); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(s.Kill)
	started, reads := make(chan struct{}, 16), make(chan error, 8)
	for range cap(reads) {
		go func() {
			for i := 0; ; i++ {
				_, err := Read(t.Context(), s.URL("x"), 1<<20)
				if i == 2 || err != nil {
					started <- struct{}{}
				}
				if err != nil {
					reads <- err
					return
				}
			}
		}()
	}
	for range cap(reads) {
		<-started
	}
	var killed time.Time
	err := Write(t.Context(), s.URL("half"), func(w io.Writer) error {
		if _, err := w.Write(randomBytes(large)); err != nil {
			t.Errorf("before the server is killed: %v", err)
		}
		killed = time.Now()
		kill()
		for range 10 {
			w.Write(randomBytes(large)) // its error is overlooked
		}
		return nil
	})
	if err == nil {
		t.Error("a file was written to a server that is dead")
	}
	for range cap(reads) {
		select {
		case err := <-reads:
			if errors.Is(err, ErrNotFound) {
				t.Errorf("a dead server has no files: %v", err)
			}
		case <-time.After(time.Until(killed.Add(bound))):
			t.Fatalf("a read continues %v after the server was killed", bound)
		}
	}
	if took := time.Since(killed); took > bound {
		t.Errorf("the errors took %v", took)
	}
	s.Start(t)
	if there, err := Exists(t.Context(), s.URL("half")); there || err != nil {
		t.Errorf("after the server is back, half a file: %v, %v", there, err)
	}
	if _, err := Read(t.Context(), s.URL("x"), 1<<20); err != nil {
		t.Errorf("after the server is back: %v", err)
	}
}

func TestServerThatDoesNotAnswer(t *testing.T) {
	s := s3test.New(t, serverProgram)
	impatient := buckets{patience: 2 * time.Second}
	defer impatient.close()
	data := randomBytes(2000)
	slowly := func(w io.Writer) error { // longer than the patience, which is only for the store
		if _, err := w.Write(data[:1000]); err != nil {
			return err
		}
		time.Sleep(3 * time.Second)
		_, err := w.Write(data[1000:])
		return err
	}
	if err := impatient.write(t.Context(), s.URL("x"), slowly); err != nil {
		t.Fatal(err)
	}
	s.Suspend(t)
	start := time.Now()
	_, readErr := impatient.read(t.Context(), s.URL("x"), 2000)
	_, existsErr := impatient.exists(t.Context(), s.URL("x"))
	writeErr := impatient.write(t.Context(), s.URL("y"), slowly)
	for _, err := range []error{readErr, existsErr, writeErr} {
		if err == nil || !strings.Contains(err.Error(), "no byte came or went for 2s") {
			t.Errorf("error %v", err)
		}
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("three operations took %v, of a patience of 2 s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := impatient.read(ctx, s.URL("x"), 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller that waits for less: %v", err)
	}
	s.Resume(t)
	if got, err := impatient.read(t.Context(), s.URL("x"), 2000); !bytes.Equal(got, data) {
		t.Errorf("when it answers again: %d bytes, %v", len(got), err)
	}
}
