package orphan

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// role and socket are set in the environment of this test binary where it is one of three
// processes: pool starts boot, and boot starts the worker, which watches them.
const (
	role   = "ORPHAN_TEST_ROLE"
	socket = "ORPHAN_TEST_SOCKET"
)

func TestMain(m *testing.M) {
	if as := os.Getenv(role); as != "" {
		play(as)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// play connects to the test and tells its process number. The connection ends with the
// process. It returns if something fails.
func play(as string) {
	conn, err := net.Dial("unix", os.Getenv(socket))
	if err != nil {
		return
	}
	if _, err := io.WriteString(conn, as+" "+strconv.Itoa(os.Getpid())+"\n"); err != nil {
		return
	}
	if as == "worker" {
		Watch(func() { os.Exit(1) })
		select {}
	}
	next := map[string]string{"pool": "boot", "boot": "worker"}[as]
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"="+next)
	if cmd.Run() == nil {
		return
	}
	time.Sleep(time.Hour) // as a boot program that doesn't end with its worker
}

func TestWorkerEndsWithItsParents(t *testing.T) {
	for _, killed := range []string{"boot", "pool"} {
		t.Run(killed, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			listener, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			pool := exec.Command(os.Args[0])
			pool.Env = append(os.Environ(), role+"=pool", socket+"="+path)
			if err := pool.Start(); err != nil {
				t.Fatal(err)
			}
			ends := map[string]net.Conn{}
			processes := map[string]*os.Process{}
			for range 3 {
				conn, err := listener.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				var name string
				var number int
				if name, number, err = hello(conn); err != nil {
					t.Fatal(err)
				}
				ends[name] = conn
				if processes[name], err = os.FindProcess(number); err != nil {
					t.Fatal(err)
				}
			}
			defer pool.Wait() // the process itself isn't of interest
			for _, process := range processes {
				defer process.Kill()
			}
			worker := ends["worker"]
			if err := worker.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := worker.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the worker has ended while its parents run: %v", err)
			}
			if err := processes[killed].Kill(); err != nil {
				t.Fatal(err)
			}
			if err := worker.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := worker.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the worker runs on without its %s", killed)
			}
		})
	}
}

// hello reads what play writes.
func hello(conn net.Conn) (name string, number int, err error) {
	buffer := make([]byte, 64)
	n, err := conn.Read(buffer)
	if err != nil {
		return "", 0, err
	}
	text := string(buffer[:n])
	for i := range text {
		if text[i] == ' ' {
			number, err = strconv.Atoi(text[i+1 : n-1])
			return text[:i], number, err
		}
	}
	return "", 0, errors.New("no process number in " + text)
}
