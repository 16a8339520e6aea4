package sink

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Resolver finds the addresses of a name; net.DefaultResolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Rules say which sinks may be reached, and how requests to them present themselves.
type Rules struct {
	AllowCIDRs []netip.Prefix // what of the forbidden ranges is open, and where plain http may go
	Ports      []int          // in addition to 443 and 8443
	Origin     string         // WebHook-Request-Origin
	Version    string         // in User-Agent
	Resolver   Resolver
	Roots      *x509.CertPool // nil: those of the system
	MaxIdle    time.Duration  // how long an unused connection is kept, default 30 s
}

var defaultPorts = []int{443, 8443}

func (r Rules) port(n int) bool {
	return slices.Contains(defaultPorts, n) || slices.Contains(r.Ports, n)
}

// ParseCIDR reads an entry of allowCidrs. It has to be in canonical form, without bits behind the mask, so
// that nobody opens more than what is written there, and open something that may be opened.
func ParseCIDR(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is no CIDR: write it as 127.0.0.1/32 or fd12::/64", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has bits behind its mask: write %s, or %s for the one address", s, p.Masked(),
			netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q embeds an IPv4 range: write that one", s)
	}
	for _, n := range never {
		if n.Bits() <= p.Bits() && n.Contains(p.Addr()) {
			return netip.Prefix{}, fmt.Errorf("%q is within %s, which is never opened: remove it", s, n)
		}
	}
	return p, nil
}

// errBlocked is the cause of every BLOCKED_ADDRESS.
var errBlocked = errors.New("address is not allowed")

// judge tells whether an address may be dialled (events.md 7.7.3 to 5); plain is for http, which goes to
// allowed addresses only.
func (r Rules) judge(addr netip.Addr, plain bool) error {
	if addr.Zone() != "" {
		return fmt.Errorf("%w: %s has a zone", errBlocked, addr)
	}
	a := embedded(addr)
	if in(never, a) || in(never, addr) {
		return fmt.Errorf("%w: %s is never allowed", errBlocked, addr)
	}
	switch allowed := in(r.AllowCIDRs, a); {
	case allowed:
		return nil
	case plain:
		return fmt.Errorf("%w: http goes to addresses of allowCidrs only, not to %s", errBlocked, addr)
	case in(forbidden, a):
		return fmt.Errorf("%w: %s is in a private or reserved range that allowCidrs does not open", errBlocked, addr)
	}
	return nil
}

func in(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}
