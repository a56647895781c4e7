package serve

import "errors"

// Errors of this package. An answer that isn't a success names its error, such as
// "serve.ErrBusy", and the status is always the same. The errors of the packages detect,
// pixels, prompt, query and index are named likewise.
var (
	// ErrRequest is for a parameter, JSON or form that can't be read: 400.
	ErrRequest = errors.New("unusable request")
	// ErrToken is for a request without Options.Token: 401.
	ErrToken = errors.New("no token, or another than the service's")
	// ErrOrigin is for a request that a page of another site sent, unless Options.Origins
	// names it, and for one that came to a name that Options.Hosts lacks: 403.
	ErrOrigin = errors.New("not of the service's own site")
	// ErrNotFound is for a path or regions that aren't there: 404.
	ErrNotFound = errors.New("not found")
	// ErrNoIndex is for a search if there is no Options.Index: 404.
	ErrNoIndex = errors.New("the service has no index")
	// ErrMethod is for a path with other methods: 405.
	ErrMethod = errors.New("not a method of this path")
	// ErrBody is for a body that doesn't come in time, or not whole: 408.
	ErrBody = errors.New("the body didn't come")
	// ErrTooLarge is for a body with too many bytes: 413.
	ErrTooLarge = errors.New("the body is too large")
	// ErrMediaType is for a body of a type that isn't taken: 415.
	ErrMediaType = errors.New("unusable type of body")
	// ErrBusy is for a full queue: 429, with Retry-After.
	ErrBusy = errors.New("the queue is full")
	// ErrInternal is for a fault of the service: 500. The log has more.
	ErrInternal = errors.New("a fault of the service")
	// ErrEnding is for requests after Handler.Drain: 503.
	ErrEnding = errors.New("the service ends")
	// ErrTime is for an answer that takes longer than Options.Time: 504.
	ErrTime = errors.New("the answer took too long")
	// ErrOption is returned by New if an option is out of range.
	ErrOption = errors.New("unusable option")
)
