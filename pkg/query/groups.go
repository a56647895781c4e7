package query

// noGroups returns categories without those that only group others, and the names of
// these. Roboflow puts one into each file: it has the supercategory "none", is the
// supercategory of others, and no object is of it. Asked for, it would take their boxes.
func noGroups[T any](categories []T, name, super func(T) string) (kept []T, groups []string) {
	used := map[string]bool{}
	for _, c := range categories {
		used[super(c)] = true
	}
	for _, c := range categories {
		if super(c) == "none" && used[name(c)] {
			groups = append(groups, name(c))
			continue
		}
		kept = append(kept, c)
	}
	return kept, groups
}
