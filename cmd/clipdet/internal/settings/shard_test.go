package settings

import (
	"strings"
	"testing"
)

func TestShardOfASchedulerVariable(t *testing.T) {
	slurm := map[string]string{slurmID: "3", slurmFirst: "1", slurmLast: "8", slurmCount: "8"}
	for _, test := range []struct {
		text string
		env  map[string]string
		i, n int
		want string // of the error
	}{
		{"2/8", slurm, 2, 8, ""},
		{"env/8", map[string]string{kubernetesIndex: "0"}, 1, 8, ""},
		{"env/8", map[string]string{kubernetesIndex: "7"}, 8, 8, ""},
		{"env/8", map[string]string{kubernetesIndex: "8"}, 0, 0, `want I/N`},
		{"env/8", map[string]string{kubernetesIndex: "-1"}, 0, 0, `JOB_COMPLETION_INDEX is "-1"`},
		{"env/8", map[string]string{kubernetesIndex: "a"}, 0, 0, `JOB_COMPLETION_INDEX is "a"`},
		{"env", map[string]string{kubernetesIndex: "0"}, 0, 0, "write env/N"},
		{"env", slurm, 3, 8, ""},
		{"env/9", slurm, 3, 9, ""},
		{"env", map[string]string{slurmID: "3", slurmFirst: "3", slurmLast: "5", slurmCount: "2"}, 0, 0, "isn't 1-N"}, // --array=3,5
		{"env/8", map[string]string{slurmID: "3", slurmFirst: "3", slurmLast: "5", slurmCount: "2"}, 3, 8, ""},
		{"env", map[string]string{slurmID: "0", slurmFirst: "0", slurmLast: "7", slurmCount: "8"}, 0, 0, "from 1"},
		{"env/8", nil, 0, 0, "neither"},
		{"env/", slurm, 0, 0, "want I/N"},
		{"env/0", slurm, 0, 0, "want I/N"},
		{"env/8/8", slurm, 0, 0, "want I/N"},
		{"Env", slurm, 0, 0, "want I/N"},
	} {
		i, n, err := ReadShard(test.text, func(name string) (string, bool) {
			value, there := test.env[name]
			return value, there
		})
		if i != test.i || n != test.n || (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with %v: %d/%d, %v; want %d/%d and %q", test.text, test.env, i, n, err, test.i, test.n, test.want)
		}
	}
}
