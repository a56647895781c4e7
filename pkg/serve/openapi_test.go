package serve

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/results"
)

// description is a part of openapi.json.
type description struct {
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Schemas map[string]any
		// Parameters by their names.
		Parameters map[string]struct{ Schema map[string]any }
	}
}

func described(t *testing.T) description {
	t.Helper()
	var d description
	if err := json.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// A picture's object is described as in package results.
func TestOpenAPIHasTheSchemaOfResults(t *testing.T) {
	text := results.Schema()
	for from, to := range map[string]string{"picture": "Picture", "presence": "Presence", "detection": "Detection", "timings": "Timings"} {
		text = strings.ReplaceAll(text, `"#/$defs/`+from+`"`, `"#/components/schemas/`+to+`"`)
	}
	var schema struct {
		Defs map[string]any `json:"$defs"`
	}
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		t.Fatal(err)
	}
	d := described(t)
	if len(schema.Defs) != 4 {
		t.Errorf("results has %d schemas, and 4 are known here", len(schema.Defs))
	}
	for name, want := range schema.Defs {
		if got := d.Components.Schemas[strings.ToUpper(name[:1])+name[1:]]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is\n%v\nand in results\n%v", name, got, want)
		}
	}
}

// Every path and method that is described is there, and the other way round.
func TestOpenAPIHasTheRoutes(t *testing.T) {
	s := start(t, detect.Options{}, Options{})
	d := described(t)
	for path, operations := range d.Paths {
		to := s.find(strings.ReplaceAll(path, "{id}", "0"))
		if to.path != path && to.path == "page" {
			t.Errorf("%s is described, and is not there", path)
		}
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodPut} {
			_, described := operations[strings.ToLower(method)]
			if _, there := to.methods[method]; there != described {
				t.Errorf("%s %s is there: %v, described: %v", method, path, there, described)
			}
		}
	}
	// The fields of requests and the parameters have the same names and schemas.
	parameters := map[string]bool{"q": true, "name": true}
	for _, schema := range []string{"MatchRequest", "DetectRequest"} {
		fields := d.Components.Schemas[schema].(map[string]any)["properties"].(map[string]any)
		want := map[string][]string{"MatchRequest": matchFields, "DetectRequest": detectFields}[schema]
		if len(fields) != len(want) {
			t.Errorf("%s has %d fields, and the service takes %d", schema, len(fields), len(want))
		}
		for _, name := range want {
			field, known := fields[name].(map[string]any)
			if !known {
				t.Errorf("%s lacks %s", schema, name)
			}
			if name == "queries" || name == "thresholds" {
				continue
			}
			parameters[name] = true
			delete(field, "description")
			if got := d.Components.Parameters[name].Schema; !reflect.DeepEqual(got, field) {
				t.Errorf("the parameter %s is %v, and the field %v", name, got, field)
			}
		}
	}
	if len(parameters) != len(d.Components.Parameters) {
		t.Errorf("%d parameters are described, and %d are taken", len(d.Components.Parameters), len(parameters))
	}
	r := s.ask(t, "GET", "/openapi.json", "", "")
	if r.status != http.StatusOK || r.body != string(openAPI) || r.header.Get("Content-Type") != asJSON {
		t.Errorf("openapi.json: %d %s", r.status, r.header)
	}
}

// Each name of an error that openapi.json mentions is one that answers may have, and the
// other way round.
func TestOpenAPINamesKnownErrors(t *testing.T) {
	told := map[string]bool{"serve.ErrInternal": false}
	for _, k := range known {
		told[k.name] = false
	}
	for _, word := range strings.FieldsFunc(string(openAPI), func(r rune) bool {
		return !(r == '.' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	}) {
		word = strings.TrimRight(word, ".")
		if !strings.Contains(word, ".Err") {
			continue
		}
		if _, there := told[word]; !there {
			t.Errorf("%s is described, and is no known error", word)
		}
		told[word] = true
	}
	for name, is := range told {
		if !is {
			t.Errorf("%s is a known error, and isn't described", name)
		}
	}
}
