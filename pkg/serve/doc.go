// Package serve answers HTTP requests for a detector: an API, a page to try it, health and
// metrics. It is a handler to embed. It has no listener, and no global state.
package serve
