package archive

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestValidateNamesTheField(t *testing.T) {
	tests := []struct {
		kind  Kind
		field string // which the message must name
		edit  func(*Manifest)
	}{
		{RPN, "format is 2", func(m *Manifest) { m.Format = 2 }},
		{RPN, "format is 0", func(m *Manifest) { m.Format = 0 }},
		{RPN, "kind", func(m *Manifest) { m.Kind = "yolo" }},
		{RPN, "architecture", func(m *Manifest) { m.Architecture = " " }},
		{RPN, "exporter", func(m *Manifest) { m.Exporter = "" }},
		{RPN, "weights.name", func(m *Manifest) { m.Weights.Name = "" }},
		{RPN, "weights.sha256", func(m *Manifest) { m.Weights.SHA256 = "abc" }},
		{RPN, "weights.sha256", func(m *Manifest) { m.Weights.SHA256 = strings.Repeat("AB", 32) }},
		{RPN, "weights.licence", func(m *Manifest) { m.Weights.Licence = "" }},
		{RPN, "weights.source", func(m *Manifest) { m.Weights.Source = "" }},
		{RPN, "dtype", func(m *Manifest) { m.DType = "int8" }}, // it is for towers
		{RPN, "memory_format", func(m *Manifest) { m.MemoryFormat = "" }},
		{RPN, "created", func(m *Manifest) { m.Created = "yesterday" }},
		{RPN, "min_size", func(m *Manifest) { m.MinSize = 0 }},
		{RPN, "max_size", func(m *Manifest) { m.MaxSize = m.MinSize - 1 }},
		{RPN, "proposals", func(m *Manifest) { m.Proposals = 0 }},
		{RPN, "nms", func(m *Manifest) { m.NMS = 1.5 }},
		{CLIPImage, "input_size", func(m *Manifest) { m.InputSize = -1 }},
		{CLIPImage, "mean", func(m *Manifest) { m.Mean = nil }},
		{CLIPImage, "std", func(m *Manifest) { m.Std = []float64{1, 0, 1} }},
		{CLIPImage, "std", func(m *Manifest) { m.Std = []float64{1, 1} }},
		{CLIPImage, "block: want", func(m *Manifest) { m.Block = 1000 }},
		{CLIPImage, "resize_mode: want one of [shortest longest squash], got", func(m *Manifest) { m.ResizeMode = "stretch" }},
		{CLIPImage, "embedding_width", func(m *Manifest) { m.EmbeddingWidth = 0 }},
		{CLIPImage, "logit_scale", func(m *Manifest) { m.LogitScale = 0 }},
		{CLIPImage, "clip_id", func(m *Manifest) { m.CLIPID = "" }},
		{CLIPText, "context_length: want 77, got 64", func(m *Manifest) { m.ContextLength = 64 }},
		{CLIPText, "vocabulary", func(m *Manifest) { m.Vocabulary = 32000 }},
		{CLIPText, "clip_id", func(m *Manifest) { m.CLIPID = "" }},
		{RPN, "known_answer.inputs", func(m *Manifest) { m.KnownAnswer.Inputs = nil }},
		{RPN, "known_answer.outputs", func(m *Manifest) { m.KnownAnswer.Outputs = nil }},
		{RPN, "known_answer.tolerance", func(m *Manifest) { m.KnownAnswer.Tolerance = 0 }},
		{RPN, "known_answer.inputs[0]", func(m *Manifest) { m.KnownAnswer.Inputs[0].Shape = []int64{1 << 40, 1 << 40} }},
		{RPN, "known_answer.inputs[0]", func(m *Manifest) { m.KnownAnswer.Inputs[0].Shape = []int64{1, -3} }},
		{RPN, "known_answer.inputs[0]", func(m *Manifest) { m.KnownAnswer.Inputs[0].DType = "complex" }},
		{RPN, "known_answer.inputs[0]", func(m *Manifest) { m.KnownAnswer.Inputs[0].Values = "noise" }},
		{RPN, "known_answer.inputs[0]", func(m *Manifest) {
			m.KnownAnswer.Inputs[0].DType, m.KnownAnswer.Inputs[0].Values = "int64", "tokens"
		}},
		{RPN, "known_answer.inputs[0]", func(m *Manifest) { m.KnownAnswer.Inputs[0].Literal = [][]int64{{1}} }},
		{RPN, "known_answer.outputs[0]", func(m *Manifest) { m.KnownAnswer.Outputs[0].Values = make([]float64, 17) }},
		{RPN, "known_answer.outputs[0]", func(m *Manifest) { m.KnownAnswer.Outputs[0].AbsSum = 1 }},
		{RPN, "known_answer.inputs: shapes [[1 3 2 2]] are not those of rpn", func(m *Manifest) { m.KnownAnswer.Inputs = m.KnownAnswer.Inputs[:1] }},
		{RPN, "known_answer.outputs: shapes [[1 1000 5] [1]] are not those of rpn", func(m *Manifest) { m.Proposals = 300 }},
		{RPN, "known_answer.inputs: shapes [[] [1 2]]", func(m *Manifest) { m.KnownAnswer.Inputs[0].Shape = nil }},
		{CLIPImage, "known_answer.inputs: shapes [[1 3 224 224]]", func(m *Manifest) { m.InputSize = 336 }},
		{CLIPImage, "known_answer.outputs: shapes [[1 64]]", func(m *Manifest) { m.EmbeddingWidth = 512 }},
		{CLIPText, "tokenizer: want one of [clip-bpe], got", func(m *Manifest) { m.Tokenizer = "sentencepiece" }},
		{CLIPText, "score: want one of [softmax], got", func(m *Manifest) { m.Score = "sigmoid" }},
		{CLIPImage, "score: want one of [softmax], got", func(m *Manifest) { m.Score = "sigmoid" }},
		{CLIPText, "known_answer.inputs: shapes [[1 3 224 224]]", func(m *Manifest) { m.KnownAnswer.Inputs = valid(CLIPImage).KnownAnswer.Inputs }},
		{CLIPText, "known_answer.outputs: shapes [[2 64]]", func(m *Manifest) { m.KnownAnswer.Outputs[0].Shape[0] = 2 }},
		{RPN, "flops: want a positive number", func(m *Manifest) { m.FLOPs = -1 }},
		{RPN, "digest", func(m *Manifest) { m.Digest = "" }},
		{RPN, "digest", func(m *Manifest) { m.Digest = strings.Repeat("A", 64) }},
	}
	for _, test := range tests {
		m := valid(test.kind)
		test.edit(&m)
		err := m.validate()
		if !errors.Is(err, ErrManifest) {
			t.Errorf("%s with a wrong %s: got %v, want ErrManifest", test.kind, test.field, err)
			continue
		}
		if !strings.Contains(err.Error(), test.field) {
			t.Errorf("%s with a wrong %s: the message %q does not name it", test.kind, test.field, err)
		}
	}
}

func TestValidateReportsAllFieldsAtOnce(t *testing.T) {
	err := (Manifest{Format: Format, Kind: CLIPImage}).validate()
	for _, field := range []string{"architecture", "weights.sha256", "dtype", "input_size", "std", "clip_id", "known_answer.outputs"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("an empty manifest: the message %q does not name %s", err, field)
		}
	}
}

// FuzzParseManifest checks that parsing never crashes, and that an accepted manifest is
// valid, is the same when it is written, and makes its known inputs.
func FuzzParseManifest(f *testing.F) {
	for _, kind := range kinds() {
		f.Add(marshal(f, valid(kind)))
	}
	for _, path := range []string{"tiny/rpn.pt", "tiny/clip-image.pt", "tiny/clip-text.pt"} {
		m, err := Inspect("../../../testdata/models/" + path)
		if err != nil {
			f.Fatalf("no seed: %v", err)
		}
		f.Add(marshal(f, m))
	}
	f.Add([]byte(`{"format":1,"kind":"rpn","known_answer":{"seed":-1}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			if !errors.Is(err, ErrManifest) {
				t.Errorf("got %v, want ErrManifest", err)
			}
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("an accepted manifest does not write: %v", err)
		}
		if _, err := parseManifest(again); err != nil {
			t.Errorf("an accepted manifest is refused once written again: %v", err)
		}
		for _, in := range m.KnownAnswer.Inputs {
			if n, err := elements(in.Shape); err != nil || n > 1<<16 {
				return
			}
		}
		if _, err := m.KnownAnswer.Generate(); err != nil {
			t.Errorf("an accepted known answer does not generate: %v", err)
		}
	})
}
