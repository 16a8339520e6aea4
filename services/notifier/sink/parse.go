package sink

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

const maxURL = 2048

// Sink is a URL that Parse has accepted.
type Sink struct {
	url  *url.URL
	host string     // as in the URL, without brackets
	addr netip.Addr // if the host is an address
	port uint16
}

// Parse accepts or refuses a sink's URL (events.md 7.7.1). It resolves nothing: a name is judged when it is
// dialled. The error says what to write instead, and shows neither user info nor query.
func (r Rules) Parse(raw string) (Sink, error) {
	if len(raw) > maxURL {
		return Sink{}, fmt.Errorf("has %d characters, at most %d", len(raw), maxURL)
	}
	if strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '\\' }) {
		return Sink{}, errors.New(`holds a space, a backslash or a character that is not ASCII: percent-encode it, and write a name in its xn-- form`)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Sink{}, errors.New("is no URL: write it as https://host/path")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return Sink{}, errors.New("does not start with https://: no other scheme is sent to")
	case u.Opaque != "" || u.Host == "":
		return Sink{}, errors.New("names no host: write it as https://host/path")
	case u.User != nil:
		return Sink{}, errors.New("holds user info: remove what stands before the @")
	case strings.Contains(raw, "#"):
		return Sink{}, errors.New("holds a fragment: remove it from the # on")
	}
	s := Sink{url: u, host: u.Hostname()}
	if s.addr, err = parseHost(u); err != nil {
		return Sink{}, err
	}
	if s.port, err = r.parsePort(u); err != nil {
		return Sink{}, err
	}
	return s, r.early(s)
}

// early refuses at configuration what every dial would refuse.
func (r Rules) early(s Sink) error {
	plain := s.url.Scheme == "http"
	if s.addr.IsValid() {
		return r.judge(s.addr, plain)
	}
	if plain && len(r.AllowCIDRs) == 0 {
		return errors.New("is http: write https, or list the address's range in allowCidrs if it is your own")
	}
	return nil
}

func (r Rules) parsePort(u *url.URL) (uint16, error) {
	text := u.Port()
	switch {
	case text == "" && strings.HasSuffix(u.Host, ":"):
		return 0, errors.New("has an empty port: write a number or remove the colon")
	case text == "" && u.Scheme == "http":
		text = "80"
	case text == "":
		text = "443"
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || text[0] == '0' {
		return 0, fmt.Errorf("port %s is not between 1 and 65535", text)
	}
	if !r.port(int(n)) {
		return 0, fmt.Errorf("port %d is not allowed: use 443 or 8443, or list it in allowedPorts", n)
	}
	return uint16(n), nil
}

var (
	registered = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	// numeric is how the last label of something looks that a resolver may read as an IPv4 address:
	// 2130706433, 0x7f.1, 127.1, 0177.0.0.1.
	numeric = regexp.MustCompile(`(^|\.)(\d+|0[xX][0-9A-Fa-f]*)$`)
)

// parseHost accepts a registered name (then the address is invalid) or an address in canonical form.
func parseHost(u *url.URL) (netip.Addr, error) {
	host := u.Hostname()
	if a, err := netip.ParseAddr(host); err == nil && a.Zone() == "" {
		if a.String() != host {
			return netip.Addr{}, fmt.Errorf("host %s is not in canonical form: write %s", host, a)
		}
		return a, nil
	}
	switch {
	case strings.HasPrefix(u.Host, "["):
		return netip.Addr{}, errors.New("host is no IPv6 address")
	case len(host) > 253 || !registered.MatchString(host):
		return netip.Addr{}, errors.New("host is neither a name nor an address: write letters, digits, hyphens and full stops, none at the end")
	case numeric.MatchString(host):
		return netip.Addr{}, errors.New("host is an address in short, decimal, octal or hexadecimal form: write four decimal numbers")
	}
	return netip.Addr{}, nil
}

// Origin is scheme, host and port: what events may tell of a sink.
func (s Sink) Origin() string {
	host := s.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return s.url.Scheme + "://" + host + ":" + strconv.Itoa(int(s.port))
}

// String is the URL with its query, which may be a secret, shown as `?…`.
func (s Sink) String() string {
	if s.url == nil {
		return ""
	}
	shown := *s.url
	if shown.RawQuery == "" && !shown.ForceQuery {
		return shown.String()
	}
	shown.RawQuery, shown.ForceQuery = "", false
	return shown.String() + "?…"
}
