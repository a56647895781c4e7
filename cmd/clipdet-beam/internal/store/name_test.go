package store

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name string
		want place
	}{
		{"a/b.jpg", place{path: "a/b.jpg"}},
		{"/a/../b 100%.jpg?x#y", place{path: "/a/../b 100%.jpg?x#y"}},
		{"a/s3://b", place{path: "a/s3://b"}},
		{"", place{}},
		{"file:///a/b%20c%25.jpg", place{path: "/a/b c%.jpg"}},
		{"file:///a/b c.jpg", place{path: "/a/b c.jpg"}},
		{"file://localhost/a/../b", place{path: "/a/../b"}},
		{"file://./a/b", place{path: "a/b"}},
		{"FILE:///a", place{path: "/a"}},
		{"s3://bucket/a b/c%25%3F%23.jpg", place{scheme: "s3", bucket: "s3://bucket", key: "a b/c%?#.jpg"}},
		{"s3://bucket/a?region=x&anonymous=true", place{scheme: "s3", bucket: "s3://bucket?region=x&anonymous=true", key: "a"}},
		{"S3://bucket/a//b/", place{scheme: "s3", bucket: "s3://bucket", key: "a//b/"}},
		{"gs://some_bucket.example/a..b/...", place{scheme: "gs", bucket: "gs://some_bucket.example", key: "a..b/..."}},
		{"azblob://container/größe", place{scheme: "azblob", bucket: "azblob://container", key: "größe"}},
	}
	for _, test := range tests {
		if got, err := parse(test.name); err != nil || got != test.want {
			t.Errorf("parse(%q) = %+v, %v; want %+v", test.name, got, err, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, says string }{
		{"http://host/a.jpg", "the scheme http is not known: use a path, or a URL of file, s3, gs or azblob"},
		{"s3://bucket/100%.jpg", "in a URL % is written %25"},
		{"s3://bucket/a#1.jpg", "in a URL # is written %23"},
		{"s3://bucket/a/../b", "no element . or .."},
		{"s3://bucket/..", "no element . or .."},
		{"s3://bucket/a/%2E%2E/b", "no element . or .."},
		{"s3://bucket/./b", "no element . or .."},
		{"s3://bucket", "the key is missing: write s3://bucket/KEY"},
		{"s3://bucket/?region=x", "the key is missing"},
		{"gs:///a", "the bucket is missing: write gs://BUCKET/KEY"},
		{"file://host/a", "file of another host (host)"},
		{"file://./", "the path is missing"},
		{"file:///a?b.jpg", "in a name ? is written %3F"},
		{"file:///a?", "in a name ? is written %3F"},
		{"s3://key:hidden@bucket/a", "credentials come from the environment"},
		{"s3://bu cket/a", "invalid character"},
	}
	for _, test := range tests {
		_, err := parse(test.name)
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("parse(%q): error %v, want one that says %q", test.name, err, test.says)
		}
	}
}

func TestJoin(t *testing.T) {
	tests := []struct {
		dir  string
		elem []string
		want string
	}{
		{"out", []string{"shard-00003.jsonl"}, "out/shard-00003.jsonl"},
		{"", []string{"a"}, "a"},
		{"out", nil, "out"},
		{"../out/", []string{"a b", "../c%?#"}, "../out/c%?#"},
		{"file:///out", []string{"a b%.jpg"}, "file:///out/a%20b%25.jpg"},
		{"file://./out", []string{"a"}, "file://./out/a"},
		{"s3://bucket", []string{"a"}, "s3://bucket/a"},
		{"s3://bucket/out/?region=x", []string{"a", "b?#.jpg"}, "s3://bucket/out/a/b%3F%23.jpg?region=x"},
		{"s3://bucket/a%25b", []string{"c"}, "s3://bucket/a%25b/c"},
		{"s3://bucket/out", []string{"..", "..", "a"}, "s3://bucket/a"},
		{"s3://bucket/%", []string{"a"}, "s3://bucket/%/a"},
	}
	for _, test := range tests {
		if got := Join(test.dir, test.elem...); got != test.want {
			t.Errorf("Join(%q, %q) = %q, want %q", test.dir, test.elem, got, test.want)
		}
	}
}
