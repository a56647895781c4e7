package settings

import "testing"

func TestSeveral(t *testing.T) {
	for name, want := range map[string]bool{
		"dog": false, "traffic light": false, "St. Bernard": false, "e.g.": false, "U.S. flag": false, "3.5 inch disk": false,
		"a dog . a cat .": true, "dog . cat": true, "dog. cat.": true, "dog .": true, "dog, cat": true, "dog;cat": true,
	} {
		if several(name) != want {
			t.Errorf("several(%q) is %v, want %v", name, !want, want)
		}
	}
}
