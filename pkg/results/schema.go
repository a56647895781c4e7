package results

import _ "embed" // schema.json

//go:embed schema.json
var schema string

// Schema returns schema.json, the JSON Schema (draft 2020-12) of native JSON, an object
// or a list. A line of JSON Lines is such an object.
func Schema() string { return schema }
