package results

// EvalFormat is the version of the format of an evaluation's records.
const EvalFormat = 1

// EvalHeader is the first line of a file of an evaluation's records, as JSON. Every other
// line is the native JSON of one picture, with its proposals (Record.Boxes), under the
// file_name of the annotations. "clipdet eval merge" puts the files of all shards together.
type EvalHeader struct {
	Format int    `json:"clipdet_eval"` // EvalFormat
	Shard  string `json:"shard"`        // I/N: each Nth picture of the annotations, from the Ith on
	// Made has everything that the records depend on, by name. The records of all shards
	// have the same, and "annotations" is the SHA-256 of that file.
	Made map[string]string `json:"made_with"`
}
