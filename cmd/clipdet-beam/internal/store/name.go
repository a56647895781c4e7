package store

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// place is what a name means: the path of a file or, if bucket is set, a key in a bucket.
type place struct {
	path   string
	scheme string
	bucket string // the URL that opens it
	key    string
}

// Join returns the name of a file in dir, which is a path or a URL. The elements are plain
// names, not parts of a URL: Join escapes them where a URL needs it. As with
// [filepath.Join] the result is cleaned. A URL's parameters stay at its end.
func Join(dir string, elem ...string) string {
	if scheme(dir) == "" {
		return filepath.Join(append([]string{dir}, elem...)...)
	}
	u, err := url.Parse(dir)
	if err != nil { // whoever uses the result is told what is wrong with dir
		return dir + "/" + path.Join(elem...)
	}
	u.Path = path.Join(append([]string{"/", u.Path}, elem...)...)
	u.RawPath = ""
	return u.String()
}

// scheme returns what is before :// in a URL, or "" for a path.
func scheme(name string) string {
	before, _, found := strings.Cut(name, "://")
	if !found || strings.ContainsFunc(before, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("+-.", r))
	}) {
		return ""
	}
	return before
}

func parse(name string) (place, error) {
	if scheme(name) == "" {
		return place{path: name}, nil
	}
	u, err := url.Parse(name)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) { // which also repeats the name
			err = cause.Err
		}
		return place{}, fmt.Errorf("%s: %w; in a URL %% is written %%25", name, err)
	}
	var wrong string
	switch {
	case u.User != nil:
		wrong = "a URL has no user or password here: credentials come from the environment"
	case strings.Contains(name, "#"):
		wrong = "in a URL # is written %23"
	case u.Scheme == "file":
		return parseFile(u)
	case !slices.Contains([]string{"s3", "gs", "azblob"}, u.Scheme):
		wrong = fmt.Sprintf("the scheme %s is not known: use a path, or a URL of file, s3, gs or azblob"+
			" (before a path that looks like a URL put ./)", u.Scheme)
	case u.Host == "":
		wrong = fmt.Sprintf("the bucket is missing: write %s://BUCKET/KEY", u.Scheme)
	}
	at := place{scheme: u.Scheme, key: strings.TrimPrefix(u.Path, "/")}
	if wrong == "" {
		switch elements := strings.Split(at.key, "/"); {
		case at.key == "":
			wrong = fmt.Sprintf("the key is missing: write %s://%s/KEY", u.Scheme, u.Host)
		case slices.Contains(elements, ".."), slices.Contains(elements, "."):
			wrong = "a key has no element . or .. here, since stores take them in different ways"
		}
	}
	if wrong != "" {
		return place{}, fmt.Errorf("%s: %s", u.Redacted(), wrong)
	}
	at.bucket = (&url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: u.RawQuery}).String()
	return at, nil
}

func parseFile(u *url.URL) (place, error) {
	at := place{path: u.Path}
	switch {
	case u.RawQuery != "" || u.ForceQuery:
		return at, fmt.Errorf("%s: a URL of a file has no parameters; in a name ? is written %%3F", u)
	case u.Host == ".": // as gocloud.dev has it
		at.path = strings.TrimPrefix(u.Path, "/")
	case u.Host != "" && u.Host != "localhost":
		return at, fmt.Errorf("%s: a file of another host (%s) can't be read: write file:///PATH, or file://./PATH if relative", u, u.Host)
	}
	if at.path == "" {
		return at, fmt.Errorf("%s: the path is missing: write file:///PATH", u)
	}
	return at, nil
}
