package box

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestMarshalJSON(t *testing.T) {
	tests := []struct {
		box  Box
		want string
	}{
		{Box{}, "[0,0,0,0]"},
		{Box{0.1, 1.5, 639.99994, 480}, "[0.1,1.5,639.99994,480]"},
		{Box{-1, 2, 1e-7, 3e21}, "[-1,2,1e-7,3e+21]"},
	}
	for _, test := range tests {
		got, err := json.Marshal(test.box)
		if err != nil || string(got) != test.want {
			t.Errorf("json.Marshal(%v) = %s, %v; want %s", test.box, got, err, test.want)
		}
	}
	for _, b := range []Box{{nan, 0, 1, 1}, {0, 0, 1, inf}, {0, -inf, 1, 1}} {
		if got, err := json.Marshal(b); !errors.Is(err, ErrEdges) {
			t.Errorf("json.Marshal(%v) = %s, %v; want ErrEdges", b, got, err)
		}
	}
}

func TestUnmarshalJSON(t *testing.T) {
	tests := []struct {
		json string
		want Box
	}{
		{"[1,2,3,4]", Box{1, 2, 3, 4}},
		{" [ 1e2 , -2.5, 0.1 ,4 ] ", Box{100, -2.5, 0.1, 4}},
		{"[3,3,1,1]", Box{3, 3, 1, 1}},
		{"null", Box{9, 9, 9, 9}},
	}
	for _, test := range tests {
		got := Box{9, 9, 9, 9}
		if err := json.Unmarshal([]byte(test.json), &got); err != nil || got != test.want {
			t.Errorf("json.Unmarshal(%s) = %v, %v; want %v", test.json, got, err, test.want)
		}
	}
	for _, bad := range []string{
		"[]", "[1,2,3]", "[1,2,3,4,5]", "[1,2,3,null]", `["1",2,3,4]`, `{"x0":1}`, "7", `"box"`, "[1,2,3,1e39]", "[[1],2,3,4]",
	} {
		got := Box{9, 9, 9, 9}
		if err := json.Unmarshal([]byte(bad), &got); !errors.Is(err, ErrEdges) {
			t.Errorf("json.Unmarshal(%s) = %v, %v; want ErrEdges", bad, got, err)
		}
		if want := (Box{9, 9, 9, 9}); got != want {
			t.Errorf("json.Unmarshal(%s) changed the box to %v although it failed", bad, got)
		}
	}
}

func FuzzUnmarshalJSON(f *testing.F) {
	for _, seed := range []string{"[1,2,3,4]", "null", "[1,2,3,1e39]", "[0.1,-0,1e-46,3.4028235e38]", "[1,2,3", "[null,1,2,3]", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second Box
		if err := first.UnmarshalJSON(data); err != nil {
			if !errors.Is(err, ErrEdges) {
				t.Fatalf("UnmarshalJSON(%q) failed with %v, which is not ErrEdges", data, err)
			}
			return
		}
		written, err := first.MarshalJSON()
		if err != nil {
			t.Fatalf("UnmarshalJSON(%q) gave %v, which can't be written: %v", data, first, err)
		}
		if err := second.UnmarshalJSON(written); err != nil || second != first {
			t.Fatalf("%q was read as %v, written as %s and read again as %v, %v", data, first, written, second, err)
		}
	})
}
