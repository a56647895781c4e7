package intake

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/clipdet/clipdet/pkg/pixels"
)

// TestURLs fetches from a real server.
func TestURLs(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "testdata", "formats", "420.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/a.jpg", func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.UserAgent(), "https://") { // as Wikimedia asks of programs
			http.Error(w, "say whose program this is", http.StatusForbidden)
			return
		}
		_, _ = w.Write(data)
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/a.jpg", http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, test := range []struct {
		path  string
		flags Flags
		limit int64
		says  string
	}{
		{"/a.jpg", Flags{Private: true}, 0, ""},
		{"/to", Flags{Private: true}, 0, ""},
		{"/a.jpg", Flags{}, 0, "isn't public; --allow-private"},
		{"/none.jpg", Flags{Private: true}, 0, "404"},
		{"/page", Flags{Private: true}, 0, "not a picture"},
		{"/round", Flags{Private: true}, 0, "redirects"},
		{"/file", Flags{Private: true}, 0, "unsupported protocol"},
		{"/a.jpg", Flags{Private: true}, int64(len(data)) - 1, "too large"},
	} {
		found, err := test.flags.Expand([]string{server.URL + test.path}, nil)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := Decode(t.Context(), found.Inputs[0], pixels.Limits{Bytes: test.limit})
		if test.says == "" && (err != nil || picture == nil) || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s, %+v: %v, want %q", test.path, test.flags, err, test.says)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	found, err := (&Flags{Private: true}).Expand([]string{server.URL + "/a.jpg"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(ctx, found.Inputs[0], pixels.Limits{}); err == nil {
		t.Error("a picture comes after the end of the context")
	}
}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "93.184.216.34": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.0.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "::1": false, "::": false, "fe80::1": false, "fe80::1%eth0": false,
		"fc00::1": false, "::ffff:127.0.0.1": false, "::ffff:8.8.8.8": true, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "ff02::1": false,
		"::127.0.0.1": false,
	} {
		if at, err := netip.ParseAddr(text); err != nil || public(at) != want {
			t.Errorf("public(%s) is %v, want %v (%v)", text, !want, want, err)
		}
	}
}

// TestStdin reads a picture, and an error, from stdin.
func TestStdin(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "..", "..", "testdata", "formats", "420.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found, err := new(Flags).Expand([]string{Stdin}, file)
	if err != nil {
		t.Fatal(err)
	}
	if picture, err := Decode(t.Context(), found.Inputs[0], pixels.Limits{}); err != nil || picture == nil {
		t.Errorf("%v, want the picture", err)
	}
	broken := errors.New("broken")
	if found, err = new(Flags).Expand([]string{Stdin}, iotest.ErrReader(broken)); err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(t.Context(), found.Inputs[0], pixels.Limits{}); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}

// TestFrames takes all frames of a GIF and of a WebP, by several goroutines and in part.
func TestFrames(t *testing.T) {
	moves := filepath.Join("..", "..", "..", "..", "testdata", "frames", "moves.gif")
	movesWebP := strings.TrimSuffix(moves, "gif") + "webp"
	still := filepath.Join("..", "..", "..", "..", "testdata", "formats", "clear.gif")
	found, err := (&Flags{Frames: AllFrames}).Expand([]string{still, moves, movesWebP}, nil)
	if err != nil || len(found.Inputs) != 21 || found.Inputs[0].Path != still || found.Inputs[7].Path != moves+"#frame=7" || found.Inputs[20].Path != movesWebP+"#frame=13" {
		t.Fatalf("%s, %v; want a still picture and 7 and 13 frames", paths(found.Inputs), err)
	}
	n := 0
	for picture, err := range DecodeAhead(t.Context(), found.Inputs, pixels.Limits{}, 4) {
		if err != nil || picture.Bounds().Empty() {
			t.Errorf("%s: %v", found.Inputs[n].Path, err)
		}
		n++
	}
	if n != 21 {
		t.Errorf("%d pictures, want 21", n)
	}
	again, err := (&Flags{Frames: AllFrames}).Expand([]string{moves}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(t.Context(), again.Inputs[5], pixels.Limits{}); err != nil {
		t.Errorf("a later frame alone: %v", err)
	}
}
