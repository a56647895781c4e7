package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/exit"
	"github.com/clipdet/clipdet/cmd/clipdet/internal/settings"
	"github.com/clipdet/clipdet/pkg/index"
	"github.com/clipdet/clipdet/pkg/serve"
)

// serveFlags are the flags of the serve command.
type serveFlags struct {
	settings.ScoringFlags
	addr       string
	index      string
	tokenFile  string
	origins    []string
	hosts      []string
	megabytes  int
	megapixels int
	pictures   int
	queries    int
	hits       int
	queue      int
	memory     int // MiB
	kept       int // MiB
	keepFor    time.Duration
	bodyTime   time.Duration
	time       time.Duration
	notReady   time.Duration
	grace      time.Duration
}

func serveCommand() *cobra.Command { return new(serveFlags).command() }

// serveEnvironment begins the names of the variables that flags of serve are taken from.
const serveEnvironment = "CLIPDET_SERVE_"

func (f *serveFlags) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve [flags]",
		Short: "Answer HTTP requests, with a page to try it",
		Long: `Loads the models once and answers HTTP requests: a page for a browser, an API for
programs, health and metrics. /openapi.json describes the API. A picture is sent as
it is, and the answer is the JSON of 'clipdet detect':

  curl --data-binary @street.jpg 'http://127.0.0.1:8080/v1/detect?q=dog&q=bike'

Pictures of all clients go through the models together. What comes while the queue is
full is refused with 429. Pictures aren't kept; the regions of those that the page
shows are, in memory, for --keep.

By default only this machine can reach it. To let others, give --addr an address of
the network, and a token with --token-file, or put it behind a server that asks who
they are and that does TLS.

SIGTERM or Ctrl-C ends it: /readyz answers 503, then new requests get 503, running
ones are answered, and it exits with 0. A second signal ends it at once. Logs are
JSON, a line each, on stderr.

A flag that isn't given is taken from the environment: CLIPDET_SERVE_ and its name in
capitals with _ for each -, such as CLIPDET_SERVE_TOKEN_FILE.`,
		Example: `  clipdet serve
  clipdet serve --addr :8080 --token-file token --models models/lock.json
  clipdet serve --index photos.index`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("serve takes no arguments, got %q: pictures come with requests", args[0])
			}
			return nil
		},
		PreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags(), os.LookupEnv) },
		RunE:    f.run,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.addr, "addr", "127.0.0.1:8080", "listen at `HOST:PORT`; port 0 takes a free one, which the log tells")
	flags.StringVar(&f.index, "index", "", "`DIR` of an index for /v1/search")
	_ = cmd.MarkFlagDirname("index") // fails only for an unknown flag
	flags.StringVar(&f.tokenFile, "token-file", "", "answer only requests with the token that `FILE` has, as 'Authorization: Bearer TOKEN'")
	flags.StringArrayVar(&f.origins, "origin", nil, "let pages of the site `ORIGIN` call the API, https://example.com for example; give it once for each, or * for all")
	flags.StringArrayVar(&f.hosts, "host", nil, "also answer requests that come to the `NAME`, as a proxy may pass them on; give it once for each, or * for all (default: at an address of this machine alone and without a token only localhost and addresses, else all)")
	flags.IntVar(&f.megabytes, "max-megabytes", 32, "refuse bodies of more than `N` times 2^20 bytes")
	flags.IntVar(&f.megapixels, "max-megapixels", 50, "refuse pictures of more than `N` million pixels")
	flags.IntVar(&f.pictures, "max-pictures", 0, "refuse more than `N` pictures in a request; 0 is 64, or --queue if that is less")
	flags.IntVar(&f.queries, "max-queries", 256, "refuse more than `N` queries in a request, up to 1000")
	flags.IntVar(&f.hits, "max-hits", 50_000, "refuse searches for more than `N` hits: queries times top_k")
	flags.IntVar(&f.queue, "queue", 128, "let at most `N` pictures of all clients wait or run")
	flags.IntVar(&f.memory, "memory", 1024, "keep at most `N` MiB of bodies, and as much of decoded pictures and hits; the models' memory comes on top")
	flags.DurationVar(&f.bodyTime, "body-timeout", 30*time.Second, "refuse a body that takes `LONGER`")
	flags.DurationVar(&f.time, "timeout", time.Minute, "give up an answer that takes `LONGER` once the body has come")
	flags.DurationVar(&f.keepFor, "keep", 10*time.Minute, "keep regions for so `LONG` after they were last used")
	flags.IntVar(&f.kept, "keep-megabytes", 256, "keep regions of at most `N` MiB")
	flags.DurationVar(&f.notReady, "drain-wait", 0, "at the end, answer for so `LONG` with /readyz at 503, so that a load balancer sends no more")
	flags.DurationVar(&f.grace, "grace", 30*time.Second, "at the end, wait for so `LONG` for running requests")
	f.AddForService(cmd)
	return cmd
}

// fromEnvironment sets the flags that were not given from variables.
func fromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) (err error) {
	flags.VisitAll(func(flag *pflag.Flag) {
		name := serveEnvironment + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		value, there := lookup(name)
		if !there || flag.Changed || err != nil {
			return
		}
		if failed := flags.Set(flag.Name, value); failed != nil {
			err = fmt.Errorf("%s: %w", name, failed)
		}
	})
	if err != nil {
		return err
	}
	return emptyFlag(flags)
}

// options returns the options of the handler, except the index and the logger.
func (f *serveFlags) options() (serve.Options, error) {
	o := serve.Options{
		Origins: f.origins, Hosts: slices.DeleteFunc(slices.Clone(f.hosts), func(host string) bool { return host == "*" }), Bytes: int64(f.megabytes) << 20, Pixels: int64(f.megapixels) * 1e6, Pictures: f.pictures, Queries: f.queries, Hits: f.hits,
		Queue: f.queue, Memory: int64(f.memory) << 20, KeptBytes: int64(f.kept) << 20, KeepFor: f.keepFor, BodyTime: f.bodyTime, Time: f.time,
	}
	const most = 1 << 20
	for _, flag := range []struct {
		name  string
		value int
	}{
		{"max-megabytes", f.megabytes}, {"max-megapixels", f.megapixels}, {"max-queries", f.queries}, {"max-hits", f.hits}, {"queue", f.queue},
		{"memory", f.memory}, {"keep-megabytes", f.kept},
	} {
		if flag.value < 1 || flag.value > most {
			return o, fmt.Errorf("--%s %d: want 1 to %d", flag.name, flag.value, most)
		}
	}
	for _, flag := range []struct {
		name  string
		value time.Duration
	}{{"body-timeout", f.bodyTime}, {"timeout", f.time}, {"keep", f.keepFor}, {"grace", f.grace}} {
		if flag.value <= 0 {
			return o, fmt.Errorf("--%s %v: want a time above 0, such as 30s", flag.name, flag.value)
		}
	}
	switch {
	case f.notReady < 0:
		return o, fmt.Errorf("--drain-wait %v: want a time, such as 5s, or 0", f.notReady)
	case f.memory < f.megabytes:
		return o, fmt.Errorf("--memory %d: want --max-megabytes, which is %d, or more", f.memory, f.megabytes)
	case f.pictures > f.queue:
		return o, fmt.Errorf("--max-pictures %d: want at most --queue, which is %d", f.pictures, f.queue)
	}
	if f.tokenFile == "" {
		return o, nil
	}
	text, err := os.ReadFile(f.tokenFile)
	if err != nil {
		return o, fmt.Errorf("--token-file: %w", err)
	}
	if o.Token = strings.TrimSpace(string(text)); o.Token == "" {
		return o, fmt.Errorf("--token-file %s: it is empty; write a token into it, such as that of 'openssl rand -hex 32'", f.tokenFile)
	}
	return o, nil
}

func (f *serveFlags) run(cmd *cobra.Command, _ []string) error {
	options, err := f.options()
	if err != nil {
		return err
	}
	if err := options.Check(); err != nil {
		return err
	}
	p, err := f.PlanService(cmd)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if verbose, err := cmd.Flags().GetBool("verbose"); err == nil && verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
	options.Logger, p.Options.Logger = log, log
	if f.index != "" {
		options.OpenIndex = func() (*index.Index, error) { return index.Open(f.index, index.OpenOptions{}) }
		if options.Index, err = options.OpenIndex(); err != nil {
			return notIndexed(err)
		}
		p.Options.Crops = options.Index.Crops()
	}
	ctx := cmd.Context()
	// A port that is taken is told before the models are loaded.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.addr)
	if err != nil {
		return fmt.Errorf("--addr %s: %w", f.addr, err)
	}
	defer listener.Close()
	detector, err := p.Detector(ctx)
	if err != nil {
		return err
	}
	defer detector.Close()
	options.Hosts = f.hostsAt(listener.Addr(), options.Token)
	handler, err := serve.New(detector, options)
	if err != nil {
		return err
	}
	defer handler.Close()
	if options.Token == "" && !loopback(listener.Addr()) {
		log.Warn("anyone who reaches this address can use the service; --token-file asks for a token", "address", listener.Addr().String())
	}
	log.Info("serving", "url", "http://"+listener.Addr().String()+"/", "device", detector.Info().Device)
	return f.listen(ctx, log, handler, listener)
}

// hostsAt returns the names that requests may come to, beside localhost and addresses, or
// nil for any name.
func (f *serveFlags) hostsAt(addr net.Addr, token string) []string {
	switch {
	case slices.Contains(f.hosts, "*"):
		return nil
	case len(f.hosts) == 0 && loopback(addr) && token == "":
		return []string{}
	}
	return f.hosts
}

func loopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// listen serves until ctx ends, and then ends well.
func (f *serveFlags) listen(ctx context.Context, log *slog.Logger, handler *serve.Handler, listener net.Listener) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second, // the handler limits bodies and answers
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return exit.Setup(err)
	case <-ctx.Done():
	}
	log.Info("ending", "cause", context.Cause(ctx).Error(), "drain_wait", f.notReady.String(), "grace", f.grace.String())
	handler.NotReady()
	time.Sleep(f.notReady)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.grace)
	defer cancel()
	err := errors.Join(handler.Drain(grace), server.Shutdown(grace))
	if err != nil {
		_ = server.Close() // the requests that still run end now
		return exit.Inputs(fmt.Errorf("some requests didn't end within --grace %v: %w", f.grace, err))
	}
	log.Info("ended")
	return nil
}
