package results

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/eval"
)

// compiled returns schema.json. If strict, the schema refuses a field that it doesn't
// name.
func compiled(t *testing.T, strict bool) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	if strict {
		for name, part := range document.(map[string]any)["$defs"].(map[string]any) {
			if len(part.(map[string]any)["properties"].(map[string]any)) == 0 {
				t.Fatalf("schema.json: %s has no properties", name)
			}
			part.(map[string]any)["additionalProperties"] = false
		}
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4) // so that $schema must name 2020-12
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func valid(t *testing.T, schema *jsonschema.Schema, text string) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return schema.Validate(value)
}

// TestSchemaNamesEveryFieldThatIsWritten fails if schema.json lacks a field of Record.
func TestSchemaNamesEveryFieldThatIsWritten(t *testing.T) {
	schema := compiled(t, true)
	for _, records := range [][]Record{three(), hard(), nil} {
		if err := valid(t, schema, written(t, "json list", records)); err != nil {
			t.Errorf("a list of %d: %v", len(records), err)
		}
		for _, r := range records {
			if err := valid(t, schema, written(t, "jsonl", []Record{r})); err != nil {
				t.Errorf("%q: %v", r.Image, err)
			}
		}
	}
}

// TestSchemaRefuses removes each field, and gives each another type. Both the schema and
// the reader must refuse that.
func TestSchemaRefuses(t *testing.T) {
	schema := compiled(t, false)
	object := strings.ReplaceAll(goldenFound, "LEAD", "")
	if err := valid(t, schema, strings.Replace(object, "{", `{"later":1,`, 1)); err != nil {
		t.Errorf("a field of a later version: %v", err)
	}
	broken := 0
	refuse := func(name string, value any) {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		broken++
		if valid(t, schema, string(text)) == nil {
			t.Errorf("%s: the schema takes %s", name, text)
		}
		if _, err := read("json", strings.NewReader(string(text)), Limits{}); err == nil {
			t.Errorf("%s: the reader takes %s", name, text)
		}
	}
	picture := func() map[string]any {
		var v map[string]any
		if err := json.Unmarshal([]byte(object), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for field := range picture() {
		without, other := picture(), picture()
		delete(without, field)
		other[field] = true
		refuse("without "+field, without)
		refuse("a boolean "+field, []any{other})
	}
	for field := range picture()["detections"].([]any)[1].(map[string]any) {
		without, other := picture(), picture()
		delete(without["detections"].([]any)[1].(map[string]any), field)
		other["detections"].([]any)[1].(map[string]any)[field] = true
		refuse("a detection without "+field, without)
		refuse("a detection with a boolean "+field, other)
	}
	for _, field := range []string{"width", "height", "proposals"} {
		negative := picture()
		negative[field] = -1
		refuse("a negative "+field, negative)
	}
	both := picture()
	both["error"] = "e"
	refuse("an error with results", both)
	refuse("an error without a text", map[string]any{"image": "a", "error": ""})
	refuse("a number", 7)
	if broken != 2*6+2*8+3+3 {
		t.Errorf("%d broken objects were tried, want one or two for each of 6 and 8 fields", broken)
	}
}

// TestFormatsPage reads the examples of FORMATS.md. They are of one picture, and fit the
// schema.
func TestFormatsPage(t *testing.T) {
	page, err := os.ReadFile("FORMATS.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, match := range regexp.MustCompile("(?s)```(?:json|jsonl|csv|text)\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		blocks = append(blocks, match[1])
	}
	if len(blocks) != 8 {
		t.Fatalf("FORMATS.md has %d examples, want 8", len(blocks))
	}
	schema := compiled(t, true)
	for _, block := range blocks[:3] {
		if err := valid(t, schema, block); err != nil {
			t.Errorf("%v\n%s", err, block)
		}
	}
	const picture = "testdata/images/scene-020.jpg"
	formats := map[string][]detect.Detection{}
	for format, text := range map[string]string{"json": blocks[0], "jsonl": blocks[2]} {
		records, err := read(format, strings.NewReader(text), Limits{})
		if err != nil || len(records) != 1 || records[0].Image != picture {
			t.Fatalf("%s: got %+v and %v, want one record of %s", format, records, err, picture)
		}
		formats[format] = records[0].Detections
	}
	var ids []int64
	var images []string
	ids, formats["coco"] = readCOCO(t, blocks[3], "owl", "camera")
	_, formats["coco-results"] = readCOCO(t, blocks[4], "owl", "camera")
	images, formats["csv"] = readCSV(t, blocks[5])
	formats["yolo"] = readYOLO(t, blocks[7], strings.Fields(blocks[6]), 640, 480)
	dataset, err := eval.ReadDataset(strings.NewReader(blocks[3]), eval.Limits{})
	if err != nil || len(dataset.Images) != 1 || dataset.Images[0].FileName != picture {
		t.Errorf("COCO's data set: got %+v and %v, want one image, %s", dataset, err, picture)
	}
	if !slices.Equal(ids, []int64{1, 1}) || !slices.Equal(images, []string{picture, picture}) {
		t.Errorf("COCO's image_ids are %v and CSV's images %q, want 1 and %s twice", ids, images, picture)
	}
	want := formats["json"]
	for format, found := range formats {
		if len(found) != 2 {
			t.Fatalf("%s: got %+v, want two detections", format, found)
		}
		for i, d := range found {
			if d.Query != want[i].Query || d.Score != want[i].Score || d.Box.IoU(want[i].Box) < 0.99999 {
				t.Errorf("%s, detection %d: got %s %v at %v, want %s %v at %v", format, i+1, d.Query, d.Score, d.Box, want[i].Query, want[i].Score, want[i].Box)
			}
		}
	}
	if !slices.Equal(formats["csv"], want) || !slices.Equal(formats["jsonl"], want) {
		t.Errorf("CSV and JSON Lines: got %+v and %+v, want %+v", formats["csv"], formats["jsonl"], want)
	}
}
