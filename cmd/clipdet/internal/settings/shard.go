package settings

import (
	"fmt"
	"strconv"
	"strings"
)

// maxShards is the largest number of shards, beyond any useful number of machines.
const maxShards = 1_000_000

// Variables of schedulers that tell a process its shard.
const (
	kubernetesIndex = "JOB_COMPLETION_INDEX" // of an Indexed Job, from 0; how many there are it doesn't tell
	slurmID         = "SLURM_ARRAY_TASK_ID"  // of an array, which has to be 1-N
	slurmFirst      = "SLURM_ARRAY_TASK_MIN"
	slurmLast       = "SLURM_ARRAY_TASK_MAX"
	slurmCount      = "SLURM_ARRAY_TASK_COUNT"
)

// ReadShard reads the value of --shard: I/N, or env/N, where a scheduler's variable tells
// I, or env, where Slurm's tell N too. lookup is os.LookupEnv.
func ReadShard(text string, lookup func(string) (string, bool)) (i, n int, err error) {
	word, count, given := strings.Cut(text, "/")
	if word != "env" {
		return ParseShard(text)
	}
	number := func(name string) int { // 0 if it is none
		value, _ := lookup(name)
		n, err := strconv.Atoi(value)
		if err != nil {
			return 0
		}
		return n
	}
	name, first := kubernetesIndex, 0
	if _, there := lookup(name); !there {
		name, first = slurmID, 1
	}
	value, there := lookup(name)
	if !there {
		return 0, 0, fmt.Errorf("--shard %s: neither %s (Kubernetes) nor %s (Slurm) is set; write I/N, as in 2/8", text, kubernetesIndex, slurmID)
	}
	at, err := strconv.Atoi(value)
	if err != nil || at < first {
		return 0, 0, fmt.Errorf("--shard %s: %s is %q, not a number from %d", text, name, value, first)
	}
	if !given {
		if name == kubernetesIndex {
			return 0, 0, fmt.Errorf("--shard env: Kubernetes doesn't tell how many shards there are; write env/N, with N the job's completions")
		}
		if n := number(slurmCount); n < 1 || number(slurmFirst) != 1 || number(slurmLast) != n {
			return 0, 0, fmt.Errorf("--shard env: the array isn't 1-N, so it doesn't tell how many shards there are; write env/N")
		}
		count = strconv.Itoa(number(slurmCount))
	}
	i, n, err = ParseShard(strconv.Itoa(at+1-first) + "/" + count)
	if err != nil {
		return 0, 0, fmt.Errorf("--shard %s, with %s of %d: %w", text, name, at, err)
	}
	return i, n, nil
}

// ParseShard reads I/N: the Ith of N parts, from 1.
func ParseShard(text string) (i, n int, err error) {
	var rest string
	// Valid text gives 2 items and an error, because rest is empty.
	got, _ := fmt.Sscanf(text+" ", "%d/%d%s", &i, &n, &rest)
	if got != 2 || i < 1 || i > n || n > maxShards {
		return 0, 0, fmt.Errorf("--shard %q: want I/N with I from 1 to N, and N up to %d, as in 2/8", text, maxShards)
	}
	return i, n, nil
}
