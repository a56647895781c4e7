// Package serve answers HTTP requests for a detector: an API, a page to try it, health and
// metrics. It is a handler to embed. It has no listener, and no state outside the Handler.
//
//	handler, err := serve.New(detector, serve.Options{})
//	defer handler.Close()
//	http.Handle("/find/", http.StripPrefix("/find", handler))
//
// openapi.json describes what the paths take and answer, and GET /openapi.json serves it:
//
//	POST   /v1/detect              a picture, or a form of several -> boxes with names
//	POST   /v1/regions             a picture -> its regions, which are kept for a while
//	GET    /v1/regions/{id}        kept regions
//	DELETE /v1/regions/{id}        drops them
//	POST   /v1/regions/{id}/match  queries -> boxes with names; no crop is encoded again
//	POST   /v1/embed               texts -> embeddings
//	POST   /v1/search              queries -> hits in Options.Index
//	GET    /v1/models              models, device and limits
//	GET    /healthz, /readyz       and the same as /v2/health/live and /v2/health/ready
//	GET    /metrics                Prometheus' text
//	GET    /                       the page
//
// All paths are below that of the handler, and so is all that the page asks for.
//
// # The same answers
//
// An answer is what [detect.Detector.Detect] returns for the picture and queries alone,
// with the promises of package detect, as JSON of package results. Pictures of all clients
// go through the models together.
//
// # Load
//
// The bytes of bodies and of decoded pictures are bounded (Options.Memory), and so are
// the pictures that wait or run (Options.Queue). What comes beyond is refused with 429
// and Retry-After. The hits of a search are bounded by Options.Hits. A request takes its
// place when its body has come, so slow clients take none. If a client leaves, its work
// ends at the next operation. Bodies and pictures are dropped when their request ends; of
// a kept picture only boxes and embeddings remain.
//
// Strangers' words fill the memory of [detect.Options] TextMemory up to its bound. A
// detector with a TextCache would write all of them to the disk.
//
// # Errors
//
// An answer that isn't a success is a problem (RFC 9457) whose field error is the name of
// the sentinel, such as "detect.ErrQuery" or "serve.ErrBusy". Faults of the service tell
// no more than that; Options.Logger gets the whole error.
//
// # Who may ask
//
// Anyone who reaches the handler, or who has Options.Token. The handler does no TLS.
// Nothing of a request is taken for a path or URL of the host. Pages of other sites are
// refused, unless Options.Origins names them. Without a token, Options.Hosts keeps them
// from taking this machine for their own site.
//
// # Traces
//
// The package imports no OpenTelemetry. Who wants traces wraps the handler in
// otelhttp.NewHandler, of go.opentelemetry.io/contrib, with a provider of their own. The
// context of a request goes through to the detector and to Options.Logger.
package serve
