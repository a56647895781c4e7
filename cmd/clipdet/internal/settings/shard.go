package settings

import "fmt"

// maxShards is the largest number of shards, beyond any useful number of machines.
const maxShards = 1_000_000

// ParseShard reads the value of --shard, I/N: the Ith of N parts, from 1.
func ParseShard(text string) (i, n int, err error) {
	var rest string
	// Valid text gives 2 items and an error, because rest is empty.
	got, _ := fmt.Sscanf(text+" ", "%d/%d%s", &i, &n, &rest)
	if got != 2 || i < 1 || i > n || n > maxShards {
		return 0, 0, fmt.Errorf("--shard %q: want I/N with I from 1 to N, and N up to %d, as in 2/8", text, maxShards)
	}
	return i, n, nil
}
