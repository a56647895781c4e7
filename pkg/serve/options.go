package serve

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clipdet/clipdet/pkg/index"
)

// Options configure a Handler. The zero Options are the defaults.
type Options struct {
	// Index is what /v1/search asks; nil is none. Its models must be the detector's.
	Index *index.Index
	// OpenIndex opens Index again, which it is asked for when index.Compact has removed the
	// files that were open. Only then do searches see what else was written. nil: searches
	// fail with index.ErrChanged from then on.
	OpenIndex func() (*index.Index, error)
	// Token, if it isn't "", must come with each request of the API and of /metrics, as
	// "Authorization: Bearer TOKEN". The page asks for it. Health and the page need none.
	Token string
	// Origins are the origins of other sites whose pages may call the API, such as
	// "https://example.com"; "*" is all. Without them browsers keep other sites away.
	Origins []string
	// Hosts are the names that requests may come to, such as "example.com", beside
	// "localhost" and addresses. A page of another site can let its own name stand for this
	// machine (DNS rebinding), and would pass for the service's own page. nil is any name.
	Hosts []string

	// Bytes is the largest body of a request; 0 is 32 MiB.
	Bytes int64
	// Pixels is the largest width times height of a picture; 0 is 50 million.
	Pixels int64
	// Pictures is the largest number of pictures of a request; 0 is 64, or Queue if that
	// is less.
	Pictures int
	// Queries is the largest number of queries of a request, up to 1,000; 0 is 256.
	Queries int
	// Hits is the largest number of hits of a search: its queries times its top_k. 0 is
	// 50,000.
	Hits int
	// Phrases is the largest number of texts of a request: phrases and negative phrases
	// of all queries, or texts to embed. 0 is 1,000.
	Phrases int
	// BodyTime is how long a body may take to come; 0 is 30 seconds.
	BodyTime time.Duration
	// Time is how long an answer may take after the body has come; 0 is one minute.
	Time time.Duration
	// Queue is the largest number of pictures, and of requests without one, of all clients
	// that wait or run. What comes beyond is refused with 429. A request takes its place
	// when its body has come. 0 is 128.
	Queue int
	// Memory bounds the bytes of all bodies, and as many bytes of pictures that are being
	// decoded or detected, and of searches' hits. Bodies beyond are refused with 429;
	// pictures and searches wait. 0 is 1 GiB.
	Memory int64

	// Kept and KeptBytes bound the pictures whose regions are kept, and their memory on
	// the device; the one that was not used for the longest time goes first. 0 is 1,000,
	// and 256 MiB.
	Kept      int
	KeptBytes int64
	// KeepFor is how long regions are kept after they were last used; 0 is 10 minutes.
	KeepFor time.Duration

	// Registry gets the metrics, and /metrics serves all of it. nil is a registry of the
	// handler's own, with the metrics of the process too.
	Registry *prometheus.Registry
	// Logger gets an event for each request, with its id, and the errors that answers
	// don't tell. It may be nil.
	Logger *slog.Logger
}

// mostQueries is what openapi.json says.
const mostQueries = 1000

// Check fails with ErrOption if an option is out of range, before there is a detector.
func (o Options) Check() error {
	_, err := o.withDefaults()
	return err
}

func (o Options) withDefaults() (Options, error) {
	for _, option := range []struct {
		name  string
		value *int
		usual int
	}{{"Queries", &o.Queries, 256}, {"Hits", &o.Hits, 50_000}, {"Phrases", &o.Phrases, 1000}, {"Queue", &o.Queue, 128}, {"Kept", &o.Kept, 1000}, {"Pictures", &o.Pictures, 64}} {
		if *option.value < 0 {
			return o, fmt.Errorf("serve: %w: %s is %d; it must be positive, or 0 for the default", ErrOption, option.name, *option.value)
		}
		if *option.value == 0 {
			*option.value = option.usual
			if option.name == "Pictures" {
				o.Pictures = min(o.Pictures, o.Queue)
			}
		}
	}
	for _, option := range []struct {
		name  string
		value *int64
		usual int64
	}{
		{"Bytes", &o.Bytes, 32 << 20}, {"Pixels", &o.Pixels, 50e6}, {"Memory", &o.Memory, 1 << 30}, {"KeptBytes", &o.KeptBytes, 256 << 20},
		{"BodyTime", (*int64)(&o.BodyTime), int64(30 * time.Second)}, {"Time", (*int64)(&o.Time), int64(time.Minute)},
		{"KeepFor", (*int64)(&o.KeepFor), int64(10 * time.Minute)},
	} {
		if *option.value < 0 {
			return o, fmt.Errorf("serve: %w: %s is %d; it must be positive, or 0 for the default", ErrOption, option.name, *option.value)
		}
		if *option.value == 0 {
			*option.value = option.usual
		}
	}
	switch {
	case o.Queries > mostQueries:
		return o, fmt.Errorf("serve: %w: Queries is %d, and %d are the most", ErrOption, o.Queries, mostQueries)
	case o.Pictures > o.Queue:
		return o, fmt.Errorf("serve: %w: Pictures is %d, and there are only %d places in the Queue", ErrOption, o.Pictures, o.Queue)
	case o.Memory < o.Bytes:
		return o, fmt.Errorf("serve: %w: Memory is %d bytes, and a body may have %d", ErrOption, o.Memory, o.Bytes)
	case o.Token != strings.TrimSpace(o.Token):
		return o, fmt.Errorf("serve: %w: Token has space around it", ErrOption)
	}
	for _, origin := range o.Origins {
		if u, err := url.Parse(origin); origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin) {
			return o, fmt.Errorf("serve: %w: the origin %q is not like https://example.com, or *", ErrOption, origin)
		}
	}
	for _, host := range o.Hosts {
		if host == "" || strings.ContainsAny(host, ":/*") {
			return o, fmt.Errorf("serve: %w: the host %q is not a name like example.com", ErrOption, host)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
