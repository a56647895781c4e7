package pixels

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestDecodeAheadKeepsOrder(t *testing.T) {
	failed := errors.New("no picture")
	decode := func(_ context.Context, i int) (*RGB, error) {
		if i%3 == 2 {
			return nil, failed
		}
		time.Sleep(time.Duration(i%5) * time.Millisecond) // later ones end sooner
		return &RGB{Pix: make([]uint8, 3*(i+1)), Width: i + 1, Height: 1}, nil
	}
	var sources []int
	for i := range 20 {
		sources = append(sources, i)
	}
	for _, ahead := range []int{0, 1, 3, 50} {
		next := 0
		for picture, err := range DecodeAhead(t.Context(), sources, ahead, decode) {
			if next%3 == 2 {
				if picture != nil || !errors.Is(err, failed) {
					t.Errorf("%d ahead: source %d gave %v and %v, want nil and %v", ahead, next, picture, err, failed)
				}
			} else if err != nil || picture.Bounds().Dx() != next+1 {
				t.Errorf("%d ahead: source %d gave %v and %v, want a picture of width %d", ahead, next, picture, err, next+1)
			}
			next++
		}
		if next != len(sources) {
			t.Errorf("%d ahead: got %d pictures and errors, want %d", ahead, next, len(sources))
		}
	}
}

// A decode that panics or ends its goroutine loses its own picture alone.
func TestDecodeAheadOfAPanic(t *testing.T) {
	decode := func(_ context.Context, i int) (*RGB, error) {
		switch i {
		case 1:
			return &RGB{Pix: make([]uint8, 3)[:3+i]}, nil // out of range
		case 3:
			runtime.Goexit()
		}
		return &RGB{Pix: make([]uint8, 3), Width: 1, Height: 1}, nil
	}
	says := map[int]string{1: "out of range", 3: "runtime.Goexit"}
	next := 0
	for picture, err := range DecodeAhead(t.Context(), []int{0, 1, 2, 3, 4}, 2, decode) {
		panicked, _ := errors.AsType[*PanicError](err)
		switch want := says[next]; {
		case want == "" && (picture == nil || err != nil):
			t.Errorf("source %d gave %v and %v, want a picture", next, picture, err)
		case want != "" && (picture != nil || !errors.Is(err, ErrPanic) || panicked == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("source %d gave %v and %v, want a PanicError that says %q", next, picture, err, want)
		}
		if next == 1 && panicked != nil && !bytes.Contains(panicked.Stack, []byte("TestDecodeAheadOfAPanic")) {
			t.Errorf("the stack is not that of decode:\n%s", panicked.Stack)
		}
		next++
	}
	if next != 5 {
		t.Errorf("got %d pictures and errors, want 5", next)
	}
}

// TestDecodeAheadStops verifies that no goroutine is left. synctest fails the test if one
// is.
func TestDecodeAheadStops(t *testing.T) {
	sources := slices.Repeat([]int{0}, 100)
	decode := func(context.Context, int) (*RGB, error) { return nil, errors.New("no") }
	for name, stop := range map[string]func(cancel func()) bool{
		"by the context":  func(cancel func()) bool { cancel(); return true },
		"by the consumer": func(func()) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				count := 0
				for range DecodeAhead(ctx, sources, 2, decode) {
					if count++; count == 10 && !stop(cancel) {
						break
					}
				}
				if count > 14 {
					t.Errorf("%d sources came where it stopped at 10, want at most the 4 more that were under way", count)
				}
			})
		})
	}
}
