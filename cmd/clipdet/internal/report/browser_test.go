//go:build browser

package report_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/report"
)

// browser is a headless Chromium. It is controlled through two pipes with a JSON message
// each way, ended by a zero byte; see
// https://chromedevtools.github.io/devtools-protocol/.
type browser struct {
	t        *testing.T
	in       io.Writer
	messages chan message
	session  string
	id       int
	requests []string // except for the page's own files
	errors   []string // from scripts and the console
}

// patience is long enough for a busy machine that has just installed Chromium.
const patience = 4 * time.Minute

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct{ Message string }
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	fromUs, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, toUs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// t.TempDir would fail the test, because the children of Chromium still write while
	// it is removed.
	profile, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	var said bytes.Buffer
	cmd.Stderr, cmd.ExtraFiles = &said, []*os.File{fromUs, toUs} // fds 3 and 4
	// The children of Chromium may keep stderr open.
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; install Chromium", err)
	}
	fromUs.Close()
	toUs.Close()
	b := &browser{t: t, in: in, messages: make(chan message, 1000)}
	go func() {
		defer close(b.messages)
		for reader := bufio.NewReader(out); ; {
			text, err := reader.ReadBytes(0)
			if err != nil {
				return
			}
			var m message
			if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) == nil {
				b.messages <- m
			}
		}
	}()
	t.Cleanup(func() {
		b.session = ""
		b.send("Browser.close", nil)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			cmd.Process.Kill()
			<-done
		}
		in.Close()
		for range 50 {
			if os.RemoveAll(profile) == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if t.Failed() {
			t.Logf("Chromium's last words:\n%s", said.Bytes()[max(0, said.Len()-1000):])
		}
	})
	var target struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

func (b *browser) send(method string, params any) {
	b.id++
	m := map[string]any{"id": b.id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if b.session != "" {
		m["sessionId"] = b.session
	}
	text, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Errorf("%s: %v", method, err)
	}
}

// call waits for the answer and records the page's events meanwhile.
func (b *browser) call(method string, params, to any) {
	b.t.Helper()
	b.send(method, params)
	for deadline := time.After(patience); ; {
		select {
		case m, ok := <-b.messages:
			if !ok {
				b.t.Fatalf("%s: Chromium ended", method)
			}
			b.note(m)
			if m.ID != b.id {
				continue
			}
			if m.Error != nil {
				b.t.Fatalf("%s: %s", method, m.Error.Message)
			}
			if to != nil {
				if err := json.Unmarshal(m.Result, to); err != nil {
					b.t.Fatalf("%s: %v", method, err)
				}
			}
			return
		case <-deadline:
			b.t.Fatalf("%s: no answer in %v", method, patience)
		}
	}
}

func (b *browser) note(m message) {
	switch m.Method {
	case "Network.requestWillBeSent":
		var p struct{ Request struct{ URL string } }
		if json.Unmarshal(m.Params, &p); !strings.HasPrefix(p.Request.URL, "file:") && !strings.HasPrefix(p.Request.URL, "data:") && p.Request.URL != "about:blank" {
			b.requests = append(b.requests, p.Request.URL)
		}
	case "Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled", "Network.loadingFailed":
		if !strings.Contains(string(m.Params), `"canceled":true`) { // by navigation
			b.errors = append(b.errors, m.Method+": "+string(m.Params))
		}
	}
}

// eval evaluates a script and stores its value, which may be a promise, in to.
func (b *browser) eval(script string, to any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", script, r.ExceptionDetails)
	}
	if to != nil {
		if err := json.Unmarshal(r.Result.Value, to); err != nil {
			b.t.Fatalf("%s gives %s: %v", script, r.Result.Value, err)
		}
	}
}

// open loads a report and waits for it, including the pictures near the window.
func (b *browser) open(dir, fragment string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": "about:blank"}, nil)
	b.call("Page.navigate", map[string]any{"url": "file://" + dir + "/index.html" + fragment}, nil)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var ready bool
		b.eval(`document.readyState === "complete" && location.protocol === "file:"`, &ready)
		if ready {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the page isn't loaded after %v", patience)
		}
	}
}

func (b *browser) size(width, height int, phone bool) {
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, nil)
}

// picture saves a screenshot to the directory REPORT_SHOTS for people to look at.
func (b *browser) picture(name string) {
	dir := os.Getenv("REPORT_SHOTS")
	if dir == "" {
		return
	}
	b.eval(`new Promise((done) => setTimeout(done, 700))`, nil) // smooth scrolling
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// check fails the test if the page did what it must never do.
func (b *browser) check() {
	b.t.Helper()
	if len(b.requests) > 0 {
		b.t.Errorf("the page asked for %q; want its own files alone", b.requests)
	}
	if len(b.errors) > 0 {
		b.t.Errorf("the page has errors: %q", b.errors)
	}
	b.requests, b.errors = nil, nil
}

func TestPageInABrowser(t *testing.T) {
	r, dir := readRun(t), t.TempDir()
	if err := report.Write(t.Context(), dir, r.page, r.entries(), report.Options{}); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t)
	b.size(1400, 1000, false)
	b.open(dir, "")
	b.picture("wide-top")
	for _, c := range []struct {
		what, script string
		want         any
	}{
		{"cards on the first page", `document.querySelectorAll(".card").length`, 6.0},
		{"panels of a card", `document.querySelector(".card").querySelectorAll(".stage").length`, 3.0},
		{"curves", `document.querySelectorAll("#plot path").length`, 4.0},
		{"place", `document.getElementById("place").textContent`, "24 pictures, page 1 of 4"},
		{"detections below the threshold", `document.querySelectorAll("#cards .tag").length > 0 && [...document.querySelectorAll("[aria-label^=Detections] .tag")].every((e) => Number(e.textContent.split(" ").at(-1)) >= 0.3)`, true},
		{"picture shown", `(async () => { const i = document.querySelector(".stage img"); i.scrollIntoView(); await i.decode(); return i.naturalWidth })()`, 640.0},
		{"parts of a score", `(() => { document.querySelector("[aria-label^=Detections] .box").focus(); return [...document.querySelectorAll(".parts [data-part]")].map((e) => e.dataset.part).slice(0, 8).join() })()`,
			"query,score,cosine,probability,objectness,phrase,runner-up,verdict"},
		{"key moves to another box", `(() => { const was = document.activeElement; was.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true })); return document.activeElement !== was && document.activeElement.classList.contains("box") })()`, true},
		{"sorted by AP", `(() => { [...document.querySelectorAll(".sortable thead button")].find((e) => e.textContent === "AP").click(); const v = [...document.querySelectorAll(".sortable tbody tr")].map((r) => { const t = r.cells[2].textContent; return t === "–" ? -1 : Number(t) }); return v.length === 80 && v.every((x, i) => !i || v[i - 1] >= x) })()`, true},
		{"curve of a category", `(() => { const d = () => document.querySelector("#plot path").getAttribute("d"); const was = d(); document.querySelector("[data-curve]").click(); return was !== d() && document.getElementById("curve").value !== "-1" })()`, true},
		{"nothing wider than the window", `document.documentElement.scrollWidth <= innerWidth`, true},
	} {
		var got any
		if b.eval(c.script, &got); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	b.picture("wide-curve")
	for _, id := range []string{"errors", "categories", "gallery"} {
		b.eval(fmt.Sprintf("document.getElementById(%q).scrollIntoView()", id), nil)
		b.picture("wide-" + id)
	}
	b.eval(`document.querySelectorAll(".card")[1].scrollIntoView(); document.querySelectorAll(".card")[1].querySelector("[aria-label^=Detections] .box").focus()`, nil)
	b.picture("wide-picked")
	b.check()

	// The filters are in the fragment of the URL, in both directions.
	b.open(dir, "#kind=classification&score=0.5&truth=1&page=99")
	var wrong struct {
		Place, Score, Kind string
		Boxes, Wrong       int
	}
	b.eval(`({ Place: document.getElementById("place").textContent, Score: document.getElementById("score").value, Kind: document.getElementById("kind").value,
		Boxes: document.querySelectorAll("#cards .box:not(.proposal)").length, Wrong: document.querySelectorAll("#cards .box[data-kind=classification]").length })`, &wrong)
	if wrong.Kind != "classification" || wrong.Score != "0.5" || wrong.Boxes == 0 || wrong.Boxes != wrong.Wrong || !strings.Contains(wrong.Place, "page") {
		t.Errorf("filtered by a kind: %+v; want those boxes alone", wrong)
	}
	var fragment string
	b.eval(`(() => { const q = document.getElementById("query"); q.value = q.options[3].value; q.dispatchEvent(new Event("change")); return location.hash })()`, &fragment)
	if !strings.Contains(fragment, "query=") || !strings.Contains(fragment, "kind=classification") || !strings.Contains(fragment, "score=0.5") {
		t.Errorf("the fragment is %q, want query, kind and score in it", fragment)
	}
	b.check()

	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]string{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	b.open(dir, "")
	b.picture("dark-top")
	b.eval(`document.getElementById("gallery").scrollIntoView()`, nil)
	b.picture("dark-gallery")
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{}}, nil)
	b.size(390, 844, true)
	b.open(dir, "")
	var width struct{ Page, Window float64 }
	b.eval(`({ Page: document.documentElement.scrollWidth, Window: innerWidth })`, &width)
	if width.Window != 390 || width.Page > width.Window {
		t.Errorf("on a phone of 390 pixels the page is %v wide in a window of %v", width.Page, width.Window)
	}
	b.picture("phone-top")
	var cut bool
	b.eval(`[...document.querySelectorAll("#plot text")].some((e) => e.getBoundingClientRect().right > innerWidth)`, &cut)
	if cut {
		t.Error("a text of the curves doesn't fit on a phone")
	}
	for _, id := range []string{"curves", "errors", "categories", "gallery", "cards"} {
		b.eval(fmt.Sprintf("document.getElementById(%q).scrollIntoView()", id), nil)
		b.picture("phone-" + id)
	}
	b.check()
}

func TestHostileNamesInABrowser(t *testing.T) {
	dir := t.TempDir()
	if err := report.Write(t.Context(), dir, smallPage(), one(smallEntry()), report.Options{}); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t)
	b.open(dir, "#score=0")
	var title string
	b.eval(`document.querySelector(".card h3").firstChild.textContent`, &title)
	if want := strings.ToValidUTF8(hostile, "\ufffd"); title != want {
		t.Errorf("the file is shown as %q, want %q", title, want)
	}
	var count int
	if b.eval(`document.scripts.length`, &count); count != 3 {
		t.Errorf("the document has %d scripts, want 3", count)
	}
	b.check()
}

// TestThousandsOfPicturesInABrowser verifies that a large data set makes a page that
// still responds.
func TestThousandsOfPicturesInABrowser(t *testing.T) {
	r, dir := readRun(t), t.TempDir()
	var some []report.Entry
	for entry, err := range r.entries() {
		if err != nil {
			t.Fatal(err)
		}
		entry.Picture = nil // only the data count here
		some = append(some, entry)
	}
	const count = 5000
	r.page.Images = count
	var many iter.Seq2[report.Entry, error] = func(yield func(report.Entry, error) bool) {
		for i := range count {
			if !yield(some[i%len(some)], nil) {
				return
			}
		}
	}
	if err := report.Write(t.Context(), dir, r.page, many, report.Options{Pictures: count}); err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t)
	b.open(dir, "#kind=classification&score=0.2")
	var cards int
	if b.eval(`document.querySelectorAll(".card").length`, &cards); cards != 6 {
		t.Errorf("%d cards, want 6", cards)
	}
	var elements int
	if b.eval(`document.querySelectorAll("*").length`, &elements); elements > count {
		t.Errorf("%d elements for %d pictures, of which 6 are shown", elements, count)
	}
	b.check()
}
