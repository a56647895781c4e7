package store

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The tests have a real S3 server on loopback: Versity's gateway, whose objects are files
// in a folder, so that a test sees what was stored without asking the code that it tests.
// It is built from Go's proxy, apart from the pipeline's module.
const serverModule = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

var serverProgram string

func TestMain(m *testing.M) {
	code, err := testAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func testAll(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "store-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	install := exec.Command("go", "install", serverModule)
	install.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=")
	if said, err := install.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go install %s: %w\n%s", serverModule, err, said)
	}
	serverProgram = filepath.Join(dir, "versitygw")
	return m.Run(), nil
}

// server is an S3 server with the bucket "bucket".
type server struct {
	root, address string
	process       *exec.Cmd
}

// startServer starts a server that ends with the test, and sets its credentials in the
// environment.
func startServer(t *testing.T) *server {
	t.Helper()
	s := &server{root: t.TempDir(), address: freeAddress(t)}
	if err := os.MkdirAll(filepath.Join(s.root, "objects", "bucket"), 0o777); err != nil {
		t.Fatal(err)
	}
	withoutCredentials(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "tester")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-tester")
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

// withoutCredentials removes what the stores' clients would find on this machine.
func withoutCredentials(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST",
		"AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING",
	} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	nowhere := t.TempDir()
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(nowhere, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(nowhere, "credentials"))
}

func (s *server) start(t *testing.T) {
	t.Helper()
	sidecar := filepath.Join(s.root, "sidecar") // not every file system of a test has extended attributes
	if err := os.MkdirAll(sidecar, 0o777); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(s.root, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.process = exec.Command(serverProgram, "--access", "tester", "--secret", "secret-of-tester", "--port", s.address,
		"--keep-alive", "posix", "--sidecar", sidecar, filepath.Join(s.root, "objects"))
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if c, err := net.Dial("tcp", s.address); err == nil {
			c.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	t.Fatalf("the server did not listen within 10 s:\n%s", said)
}

func (s *server) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// url returns the name of a key, or of a folder, in the server's bucket.
func (s *server) url(elem ...string) string {
	return Join(s.bucketURL("bucket"), elem...)
}

func (s *server) bucketURL(bucket string) string {
	return urlOf(s.address, bucket)
}

func urlOf(address, bucket string) string {
	return fmt.Sprintf("s3://%s/?endpoint=http://%s&region=us-east-1&use_path_style=true", bucket, address)
}

// file returns the path at which the server keeps an object.
func (s *server) file(key string) string {
	return filepath.Join(s.root, "objects", "bucket", filepath.FromSlash(key))
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// cutter passes connections on to a server, and breaks each of the first ones off after
// some bytes of the answer.
func cutter(t *testing.T, server string, cuts int, after int64) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for i := 0; ; i++ {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				to, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer to.Close()
				go io.Copy(to, client)
				if i < cuts {
					io.CopyN(client, to, after)
					return
				}
				io.Copy(client, to)
			}()
		}
	}()
	return listener.Addr().String()
}
