// Package s3test runs a real S3 server on loopback for tests: Versity's gateway, whose
// objects are files in a folder, so that a test sees what was stored without asking the
// code that it tests.
package s3test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// module is the server's. It is built from Go's proxy, apart from the pipeline's module.
const module = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// Install builds the server's program in a folder.
func Install(dir string) (program string, err error) {
	install := exec.Command("go", "install", module)
	install.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=")
	if said, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w\n%s", module, err, said)
	}
	return filepath.Join(dir, "versitygw"), nil
}

// Server is an S3 server with the bucket "bucket".
type Server struct {
	Address string // HOST:PORT

	program, root string
	process       *exec.Cmd
}

// New starts a server that ends with the test, and sets its credentials in the
// environment.
func New(t *testing.T, program string) *Server {
	t.Helper()
	s := &Server{Address: FreeAddress(t), program: program, root: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(s.root, "objects", "bucket"), 0o777); err != nil {
		t.Fatal(err)
	}
	WithoutCredentials(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "tester")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-tester")
	s.Start(t)
	t.Cleanup(s.Kill)
	return s
}

// WithoutCredentials removes what the stores' clients would find on this machine.
func WithoutCredentials(t *testing.T) {
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

// Start starts the server again, after [Server.Kill].
func (s *Server) Start(t *testing.T) {
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
	s.process = exec.Command(s.program, "--access", "tester", "--secret", "secret-of-tester", "--port", s.Address,
		"--keep-alive", "posix", "--sidecar", sidecar, filepath.Join(s.root, "objects"))
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if c, err := net.Dial("tcp", s.Address); err == nil {
			c.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	t.Fatalf("the server did not listen within 10 s:\n%s", said)
}

// Kill ends the server without warning.
func (s *Server) Kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// Suspend stops the server without an end: connections are accepted, and nothing answers.
func (s *Server) Suspend(t *testing.T) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus // the signal alone would leave its threads some time
	if _, err := syscall.Wait4(s.process.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the server is not stopped: status %x, %v", status, err)
	}
}

// Resume lets the server continue after [Server.Suspend].
func (s *Server) Resume(t *testing.T) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// URL returns the name of a key, or of a folder, in the server's bucket.
func (s *Server) URL(elem ...string) string { return URL(s.Address, "bucket", elem...) }

// URL returns the name of a key, or of a folder, in a bucket of the server at an address.
func URL(address, bucket string, elem ...string) string {
	u := url.URL{Scheme: "s3", Host: bucket, Path: "/" + path.Join(elem...)}
	u.RawQuery = fmt.Sprintf("endpoint=http://%s&region=us-east-1&use_path_style=true", address)
	return u.String()
}

// File returns the path at which the server keeps an object.
func (s *Server) File(key string) string {
	return filepath.Join(s.root, "objects", "bucket", filepath.FromSlash(key))
}

// FreeAddress returns an address on loopback that nothing listens on.
func FreeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// Cutter passes connections on to a server, and breaks each of the first ones off after
// some bytes of the answer.
func Cutter(t *testing.T, server string, cuts int, after int64) (address string) {
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
				go func() { _, _ = io.Copy(to, client) }() // connections end when they end
				if i < cuts {
					_, _ = io.CopyN(client, to, after)
					return
				}
				_, _ = io.Copy(client, to)
			}()
		}
	}()
	return listener.Addr().String()
}
