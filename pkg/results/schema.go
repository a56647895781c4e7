package results

import _ "embed" // schema.json

//go:embed schema.json
var schema string

// Schema is the JSON Schema (draft 2020-12) of native JSON, an object or a list; a line
// of JSON Lines is such an object. It is schema.json beside this file.
func Schema() string { return schema }
