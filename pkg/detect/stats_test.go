package detect

import (
	"bytes"
	"encoding/json"
	"image"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestStats checks each counter after a few calls.
func TestStats(t *testing.T) {
	d := open(t, Options{Models: faulty(), Proposals: 10, Background: []string{"a wall"}, TextCache: t.TempDir()})
	if s := d.Stats(); s.Calls != 0 || anyFailure(s) || s.Pictures != 0 || s.Crops != 0 || s.Phrases != 0 || s.Timings != (Timings{}) {
		t.Errorf("a new detector has %+v", s)
	}
	ask := func() *Queries {
		q, err := d.Queries(t.Context(), Query{Name: "dog", Phrases: []string{"a dog", "one dog"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(q.Close)
		return q
	}
	q, img := ask(), scene(1, 60, 40)
	ask()
	result, err := d.Detect(t.Context(), img, q, Params{})
	if err != nil {
		t.Fatal(err)
	}
	want := result.Timings
	for got, err := range d.DetectAll(t.Context(), stream(img, nil, nil), q, Params{}) {
		if err == nil {
			want.add(got.Timings)
		}
	}
	if _, err := d.Detect(t.Context(), cornered(throws), q, Params{}); err == nil {
		t.Fatal("the fault was no error")
	}
	s := d.Stats()
	if s.Calls != 6 || s.Failures["libtorch"] != 1 || s.Failures["other"] != 1 {
		t.Errorf("%d calls with the failures %+v, want 6 with one of libtorch and one other", s.Calls, s.Failures)
	}
	if s.Pictures != 2 || s.Crops == 0 || s.Crops > 20 || s.Crops%2 != 0 {
		t.Errorf("%d pictures and %d crops, want 2 and twice up to 10", s.Pictures, s.Crops)
	}
	if s.Phrases != 3 || s.CacheHits != 3 {
		t.Errorf("%d phrases embedded and %d from the cache, want 3 each", s.Phrases, s.CacheHits)
	}
	if s.Timings != want {
		t.Errorf("the timings are %+v, those of the results %+v together", s.Timings, want)
	}
	if s.Text <= 0 || s.Wait < 0 || s.Queue != 0 || s.Halved != 0 || s.LiveTensors != 4 {
		t.Errorf("got %+v, want time for texts, nobody waiting, nothing halved, and the 4 tensors of two Queries", s)
	}

	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Calls    int64            `json:"calls"`
		Failures map[string]int64 `json:"failures"`
		Timings  Timings          `json:"timings_ms"`
		Text     float64          `json:"text_ms"`
	}
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Calls != 6 || back.Failures["libtorch"] != 1 || back.Timings[StageRPN] != s.Timings[StageRPN].Truncate(time.Microsecond) || back.Text <= 0 {
		t.Errorf("JSON is %s, of %+v", text, s)
	}
	d.Close()
	if s := d.Stats(); s.Calls != 6 || s.LiveTensors != 0 {
		t.Errorf("after Close: %d calls and %d tensors, want 6 and none", s.Calls, s.LiveTensors)
	}
}

func anyFailure(s Stats) bool {
	for _, n := range s.Failures {
		if n != 0 {
			return true
		}
	}
	return false
}

// TestLogs checks that calls and their failures are logged, and at Debug level only.
func TestLogs(t *testing.T) {
	var log bytes.Buffer
	d := open(t, Options{Models: faulty(), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	q := queries(t, d, "dog")
	for _, img := range []image.Image{scene(1, 60, 40), cornered(throws)} {
		_, err := d.Detect(t.Context(), img, q, Params{})
		t.Log(err)
	}
	for _, want := range []string{
		`msg="models loaded" device=cpu`, `msg="queries embedded" queries=1`, `msg="call ended" call=Queries took=`,
		`msg="regions found" width=60 height=40 proposals=`, `msg="call ended" call=Detect took=`,
		`msg="call failed" call=Detect took=`, `kind=libtorch error="detect: libtorch: forward of`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, "level=DEBUG") {
			t.Errorf("a line above Debug: %s", line)
		}
	}
}

// TestStatsOfALoopThatIsLeft checks that pictures of a loop that its caller leaves are no
// failures of another kind than calls whose context ends.
func TestStatsOfALoopThatIsLeft(t *testing.T) {
	d := open(t, Options{})
	q := queries(t, d, "dog")
	for range d.DetectAll(t.Context(), stream(scene(1, 60, 40), nil, scene(2, 60, 40), scene(3, 60, 40)), q, Params{}) {
		break
	}
	s := d.Stats()
	s.Failures["ended"] = 0
	if anyFailure(s) {
		t.Errorf("failures %+v, want ended ones alone", s.Failures)
	}
}
