package intake

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/clipdet/clipdet/pkg/pixels"
)

// The limits on a download. A picture of the size that --max-megabytes allows may take
// all of the time.
const (
	downloadTime = 60 * time.Second
	connectTime  = 10 * time.Second
	redirects    = 5
)

// isURL reports whether an argument is a URL of the web. A file of such a name can be
// given as ./http:...
func isURL(arg string) bool {
	scheme, _, found := strings.Cut(arg, "://")
	return found && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// remote returns the input of a URL, whose picture is fetched when it is decoded. Its
// Path shows no password.
func (f *Flags) remote(address string) Input {
	parsed, err := url.Parse(address)
	if err == nil && parsed.Hostname() == "" {
		err = errors.New("it names no host")
	}
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // without the address, which may have a password
		}
		return Input{Path: address, Err: fmt.Errorf("a URL that can't be used: %w", err)}
	}
	private := f.Private
	return Input{Path: parsed.Redacted(), read: func(ctx context.Context, limits pixels.Limits) (*pixels.RGB, error) {
		return fetch(ctx, parsed, private, limits)
	}}
}

var errPrivate = errors.New("its address isn't public; --allow-private lets URLs lead there")

// fetch downloads a picture and decodes it. Without private, it connects to public
// addresses alone, after each redirect too. What a name means is looked up once, so that
// it can't change in between. No proxy is used, since it would connect in our place.
func fetch(ctx context.Context, address *url.URL, private bool, limits pixels.Limits) (*pixels.RGB, error) {
	ctx, cancel := context.WithTimeout(ctx, downloadTime)
	defer cancel()
	dialer := net.Dialer{Timeout: connectTime}
	if !private {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil || !public(at.Addr()) {
				return errPrivate
			}
			return nil
		}
	}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: connectTime, DisableKeepAlives: true,
		DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
	client := http.Client{Transport: transport, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) > redirects {
			return fmt.Errorf("more than %d redirects", redirects)
		}
		return nil
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	// Some sites refuse programs that don't say whose they are.
	request.Header.Set("User-Agent", "clipdet (+https://github.com/clipdet/clipdet)")
	response, err := client.Do(request)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %v", downloadTime)
		}
		return nil, fmt.Errorf("fetch: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch: the server answers %s", response.Status)
	}
	picture, err := pixels.Decode(response.Body, limits)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("fetch: not all of it came within %v", downloadTime)
	}
	return picture, err
}

// reserved are ranges of addresses that netip doesn't tell from public ones: of RFC 6890,
// and those whose last 32 bits are an IPv4 address elsewhere.
var reserved = []string{
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "::/96",
}

// public reports whether an address is of the public internet.
func public(at netip.Addr) bool {
	at = at.Unmap().WithZone("")
	if !at.IsGlobalUnicast() || at.IsPrivate() || at.IsLoopback() || at.IsLinkLocalUnicast() {
		return false
	}
	for _, text := range reserved {
		if prefix, err := netip.ParsePrefix(text); err != nil || prefix.Contains(at) {
			return false
		}
	}
	return true
}
