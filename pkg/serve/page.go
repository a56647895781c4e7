package serve

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// The page: HTML, CSS and JavaScript modules, served as they are. They name everything
// relative to the page ("v1/regions"), so that they work under a prefix.
//
//go:embed page
var pageFiles embed.FS

//go:embed openapi.json
var openAPI []byte

// pagePolicy lets the page load only what the service serves. blob: is for pictures that
// the user chose, and data: for those that the page draws. Styles are in files; scripts may
// set them by element.style, but not by attributes in HTML.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; " +
	"media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pageTypes are the types of the page's files. The host's own list doesn't matter.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".txt": "text/plain; charset=utf-8", ".json": "application/json",
	".webmanifest": "application/manifest+json",
}

// page serves a file of the page: / is index.html. There are no lists of directories.
func page(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	data, err := fs.ReadFile(pageFiles, path.Join("page", name))
	kind, known := pageTypes[path.Ext(name)]
	if err != nil || !known {
		return notFound(r)
	}
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("Permissions-Policy", "camera=(self), microphone=(), geolocation=()")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-cache")
	_, err = w.Write(data)
	return err
}
