package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
)

// startService starts the command as another process, and returns it with its address
// and the rest of its log.
func startService(t *testing.T, environment []string, args ...string) (process *exec.Cmd, url string, log *bufio.Scanner) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"serve", "--models", tinyModels, "--device", "cpu", "--threads", "1", "--proposals", "5"}, args...)
	process = exec.CommandContext(t.Context(), program, args...)
	process.Env = append(append(os.Environ(), asCommand+"=1"), environment...)
	stderr, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill() })
	log = bufio.NewScanner(stderr)
	for log.Scan() {
		var line struct{ Msg, URL string }
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatalf("the log isn't JSON: %s", log.Text())
		}
		if line.Msg == "serving" {
			return process, strings.TrimSuffix(line.URL, "/"), log
		}
	}
	t.Fatalf("it didn't serve: %v", log.Err())
	return nil, "", nil
}

func request(t *testing.T, method, url, token string, body io.Reader) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// The service answers what detect writes, with flags of the environment, and ends well.
func TestServe(t *testing.T) {
	picture, err := filepath.Abs("../../testdata/images/scene-002.jpg")
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	process, url, log := startService(t, []string{"CLIPDET_SERVE_ADDR=127.0.0.1:0", "CLIPDET_SERVE_TOKEN_FILE=" + token, "CLIPDET_SERVE_QUEUE=0"}, "--queue", "3")
	if status, text := request(t, "GET", url+"/v1/models", "", nil); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", status, text)
	}
	if status, text := request(t, "GET", url+"/v1/models", "secret", nil); status != http.StatusOK || !strings.Contains(text, `"queue":3}`) {
		t.Errorf("models: %d %s; want the flag's queue, not the environment's", status, text)
	}
	file, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	status, text := request(t, "POST", url+"/v1/detect?q=owl&threshold=0&top_k=2&name="+picture, "secret", file)
	code, want, stderr := clipdet(t, "detect", "--models", tinyModels, "--device", "cpu", "--threads", "1", "--proposals", "5",
		"-q", "owl", "--threshold", "0", "--top-k", "2", "--format", "jsonl", picture)
	if code != exit.CodeDone || status != http.StatusOK || withoutTimes(t, text) != withoutTimes(t, want) {
		t.Errorf("the service answers %d %s, and detect writes %s (exit code %d, %s)", status, text, want, code, stderr)
	}

	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	for log.Scan() {
		said.WriteString(log.Text() + "\n")
	}
	if err := process.Wait(); err != nil {
		t.Errorf("it ended with %v, want exit code 0; the log is\n%s", err, said.String())
	}
	if !strings.Contains(said.String(), `"msg":"ending"`) || !strings.Contains(said.String(), `"msg":"ended"`) || strings.Contains(said.String(), "secret") {
		t.Errorf("the log is\n%s", said.String())
	}
}

// withoutTimes returns a picture's JSON without its timings.
func withoutTimes(t *testing.T, text string) string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	delete(object, "timings_ms")
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestServeUsage(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"photo.jpg"}, "serve takes no arguments"},
		{[]string{"--queue", "0"}, "--queue 0"},
		{[]string{"--timeout", "0s"}, "--timeout 0s"},
		{[]string{"--drain-wait", "-1s"}, "--drain-wait"},
		{[]string{"--memory", "1"}, "--memory 1"},
		{[]string{"--max-queries", "1001"}, "Queries is 1001"},
		{[]string{"--max-pictures", "200"}, "--max-pictures 200"},
		{[]string{"--text-memory", "-1"}, "--text-memory -1"},
		{[]string{"--origin", "example.com"}, "example.com"},
		{[]string{"--host", "https://example.com"}, `"https://example.com" is not a name`},
		{[]string{"--token-file", empty}, "it is empty"},
		{[]string{"--token-file", empty + "s"}, "--token-file"},
		{[]string{"--addr", "nowhere"}, "--addr nowhere"},
		{[]string{"--alike", "0"}, "--alike 0"},
	} {
		code, stdout, stderr := clipdet(t, append([]string{"serve", "--models", tinyModels, "--device", "cpu", "--threads", "1"}, test.args...)...)
		if code != exit.CodeUsage || stdout != "" || !strings.Contains(stderr, test.want) {
			t.Errorf("%q: exit code %d, stderr %q; want 2 and %q", test.args, code, stderr, test.want)
		}
	}
	t.Setenv("CLIPDET_SERVE_QUEUE", "many")
	if code, _, stderr := clipdet(t, "serve"); code != exit.CodeUsage || !strings.Contains(stderr, "CLIPDET_SERVE_QUEUE") {
		t.Errorf("a variable that is no number: exit code %d, stderr %q", code, stderr)
	}
}

// Without a token, a service that only this machine reaches has no other name.
func TestNamesByDefault(t *testing.T) {
	here, everywhere := &net.TCPAddr{IP: net.IPv6loopback}, &net.TCPAddr{IP: net.IPv4zero}
	for _, test := range []struct {
		addr  net.Addr
		token string
		given []string
		want  []string // nil: any
	}{
		{here, "", nil, []string{}},
		{here, "secret", nil, nil},
		{everywhere, "", nil, nil},
		{here, "", []string{"detect.example"}, []string{"detect.example"}},
		{everywhere, "secret", []string{"detect.example"}, []string{"detect.example"}},
		{here, "", []string{"detect.example", "*"}, nil},
	} {
		got := (&serveFlags{hosts: test.given}).hostsAt(test.addr, test.token)
		if !slices.Equal(got, test.want) || (got == nil) != (test.want == nil) {
			t.Errorf("at %v with the token %q and --host %q: %#v, want %#v", test.addr, test.token, test.given, got, test.want)
		}
	}
}

// A context that has ended ends the service in its own process too.
func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--addr", "127.0.0.1:0", "--models", tinyModels, "--device", "cpu", "--threads", "1"}, io.Discard, writer)
		writer.Close()
	}()
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"serving"`) {
			cancel()
		}
	}
	if code := <-done; code != exit.CodeDone {
		t.Errorf("exit code %d, want 0", code)
	}
	cancel()
}
