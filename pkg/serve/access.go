package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// access says who may call the API.
type access struct {
	token   *[sha256.Size]byte // nil: anyone
	origins []string
	hosts   []string                    // nil: any
	other   *http.CrossOriginProtection // refuses what pages of other sites send
}

func newAccess(o Options) (access, error) {
	a := access{origins: o.Origins, hosts: o.Hosts, other: http.NewCrossOriginProtection()}
	if o.Token != "" {
		sum := sha256.Sum256([]byte(o.Token))
		a.token = &sum
	}
	for _, origin := range o.Origins {
		if origin == "*" {
			continue
		}
		if err := a.other.AddTrustedOrigin(origin); err != nil {
			return a, fmt.Errorf("serve: %w: %w", ErrOption, err)
		}
	}
	return a, nil
}

// allows reports whether pages of an origin may call the API.
func (a access) allows(origin string) bool {
	return slices.Contains(a.origins, "*") || slices.Contains(a.origins, origin)
}

// preflight tells a browser what a page of an origin may do (CORS), and reports whether
// that was all it asked.
func (a access) preflight(w http.ResponseWriter, r *http.Request) bool {
	if len(a.origins) == 0 {
		return false
	}
	header := w.Header()
	header.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !a.allows(origin) {
		return false
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", "Location, Retry-After, X-Request-Id")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	header.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id")
	header.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// knows reports whether a request may come to a host, NAME or NAME:PORT.
func (a access) knows(host string) bool {
	if a.hosts == nil {
		return true
	}
	name := host
	if alone, _, err := net.SplitHostPort(host); err == nil {
		name = alone
	}
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil || strings.EqualFold(name, "localhost") ||
		slices.ContainsFunc(a.hosts, func(known string) bool { return strings.EqualFold(name, known) })
}

// check fails with ErrOrigin for a request of another site's page, which a browser may
// send without being asked to share the answer, and with ErrToken without the token.
func (a access) check(w http.ResponseWriter, r *http.Request) error {
	if !a.knows(r.Host) {
		return fmt.Errorf("%w: it came to %.100q, a name that the service isn't known by; ask it at localhost or an address, or start it with that name (--host, Options.Hosts)", ErrOrigin, r.Host)
	}
	if err := a.other.Check(r); err != nil && !slices.Contains(a.origins, "*") {
		return fmt.Errorf("%w: a page of %.100q sent it; start the service with that site (--origin, Options.Origins)", ErrOrigin, r.Header.Get("Origin"))
	}
	if a.token == nil {
		return nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	// Sums have one length, so that the time doesn't tell the token's.
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], a.token[:]) != 1 {
		w.Header().Set("WWW-Authenticate", `Bearer realm="clipdet"`)
		return fmt.Errorf("%w: send it as 'Authorization: Bearer TOKEN'", ErrToken)
	}
	return nil
}
