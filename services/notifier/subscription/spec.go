package subscription

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/backupbus/backupbus/services/notifier/format"
)

// Spec is what a user says of a subscription (events.md 7.1).
type Spec struct {
	Sink     URL    `json:"sink"`
	Protocol string `json:"protocol"`
	Interest
	Config   Config   `json:"config,omitzero"`
	Settings Settings `json:"protocolsettings,omitzero"`
	Disabled bool     `json:"disabled,omitempty"`
}

// Config is what is for people only.
type Config struct {
	Name        string `json:"name,omitempty"` // one of its own in the project; by it `apply` knows a subscription again
	Description string `json:"description,omitempty"`
}

// Settings are protocolsettings.
type Settings struct {
	Headers       map[string]string `json:"headers,omitempty"`
	Ordering      string            `json:"ordering,omitempty"`
	ContentMode   string            `json:"contentMode,omitempty"`
	Format        string            `json:"format,omitempty"`
	Signing       []string          `json:"signing,omitempty"`
	TimeoutMs     int               `json:"timeoutMs,omitempty"`
	MaxInFlight   int               `json:"maxInFlight,omitempty"`
	RatePerMinute int               `json:"ratePerMinute,omitempty"`
}

// Words of Spec.
const (
	HTTP        = "HTTP"
	SMTP        = "SMTP" // to a sink mailto:
	Email       = "email"
	BySubject   = "subject"
	BinaryMode  = "binary"
	SchemeV1    = "v1"
	SchemeV1a   = "v1a"
	maxHeaders  = 16
	maxValue    = 1 << 10
	maxDescribe = 1024
)

// WithDefaults fills in what the user has left open.
func (s Spec) WithDefaults() Spec {
	or := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	or(&s.Settings.Ordering, "none")
	or(&s.Settings.ContentMode, "structured")
	if s.Protocol == SMTP {
		or(&s.Settings.Format, Email)
	} else {
		or(&s.Settings.Format, "cloudevent")
		if len(s.Settings.Signing) == 0 {
			s.Settings.Signing = []string{SchemeV1}
		}
	}
	s.Settings.TimeoutMs = orDefault(s.Settings.TimeoutMs, defaultTimeout)
	s.Settings.MaxInFlight = orDefault(s.Settings.MaxInFlight, defaultInFlight)
	s.Settings.RatePerMinute = orDefault(s.Settings.RatePerMinute, defaultRate)
	return s
}

// Violation is what is wrong at one place of a Spec. It never holds the value.
type Violation struct {
	Path    string `json:"path"` // JSON Pointer
	Message string `json:"message"`
}

// Violations lists what is wrong with everything but the sink's address, which package sink judges. It is
// for a Spec with its defaults.
func (s Spec) Violations() []Violation {
	var out []Violation
	add := func(path string, err error) {
		if err != nil {
			out = append(out, Violation{path, err.Error()})
		}
	}
	add("/protocol", oneOf(s.Protocol, HTTP, SMTP))
	s.typeProblems(func(n int, err error) {
		if n < 0 {
			add("/types", err)
			return
		}
		add("/types/"+strconv.Itoa(n), err)
	})
	if len(s.Config.Name) > maxName {
		add("/config/name", fmt.Errorf("has %d bytes, at most %d", len(s.Config.Name), maxName))
	}
	if len(s.Config.Description) > maxDescribe {
		add("/config/description", fmt.Errorf("has %d bytes, at most %d", len(s.Config.Description), maxDescribe))
	}
	const at = "/protocolsettings/"
	p := s.Settings
	add(at+"ordering", oneOf(p.Ordering, "none", BySubject))
	add(at+"contentMode", oneOf(p.ContentMode, "structured", BinaryMode))
	if s.Protocol == SMTP {
		add(at+"format", oneOf(p.Format, Email))
		if len(p.Headers) > 0 {
			add(at+"headers", errors.New("are for HTTP"))
		}
		if len(p.Signing) > 0 {
			add(at+"signing", errors.New("is for HTTP: an e-mail is not signed"))
		}
	} else {
		add(at+"format", checkFormat(p.Format))
	}
	if mailto := strings.HasPrefix(strings.ToLower(string(s.Sink)), "mailto:"); mailto != (s.Protocol == SMTP) {
		add("/protocol", errors.New("has to be SMTP for a sink mailto:, and HTTP for a URL"))
	}
	if p.ContentMode == BinaryMode && p.Format != "cloudevent" {
		add(at+"contentMode", errors.New("binary is for the format cloudevent only"))
	}
	if slices.Sort(p.Signing); len(slices.Compact(slices.Clone(p.Signing))) != len(p.Signing) {
		add(at+"signing", errors.New("names a scheme twice"))
	}
	for n, scheme := range p.Signing {
		add(at+"signing/"+strconv.Itoa(n), oneOf(scheme, SchemeV1, SchemeV1a))
	}
	add(at+"timeoutMs", within(int64(p.TimeoutMs), minTimeout, maxTimeout))
	add(at+"maxInFlight", within(int64(p.MaxInFlight), 1, maxInFlight))
	add(at+"ratePerMinute", within(int64(p.RatePerMinute), 1, maxRate))
	if len(p.Headers) > maxHeaders {
		add(at+"headers", fmt.Errorf("are %d, at most %d", len(p.Headers), maxHeaders))
	}
	seen := map[string]bool{}
	for name, value := range p.Headers {
		path := at + "headers/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		add(path, checkHeader(name, value))
		canonical := http.CanonicalHeaderKey(name)
		if seen[canonical] {
			add(path, errors.New("is there twice"))
		}
		seen[canonical] = true
	}
	slices.SortFunc(out, func(a, b Violation) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func checkFormat(f string) error {
	return oneOf(f, append([]string{"", "cloudevent"}, format.Formats...)...)
}

func oneOf(v string, allowed ...string) error {
	if slices.Contains(allowed, v) {
		return nil
	}
	return fmt.Errorf("has to be one of %s", strings.Trim(strings.Join(allowed, ", "), ", "))
}

// refused are the headers that are ours, or the connection's (events.md 7.1).
var refused = []string{"host", "connection", "transfer-encoding", "te", "trailer", "upgrade", "expect", "traceparent", "tracestate",
	"keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "user-agent"}

var refusedPrefixes = []string{"content-", "ce-", "webhook-", "backupbus-"}

func checkHeader(name, value string) error {
	lower := strings.ToLower(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		return errors.New("is no name of a header")
	case slices.Contains(refused, lower), slices.ContainsFunc(refusedPrefixes, func(p string) bool { return strings.HasPrefix(lower, p) }):
		return errors.New("cannot be set: it is the notifier's own, or the connection's")
	case value == "" || len(value) > maxValue || !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("its value has to be 1 to %d visible characters", maxValue)
	}
	return nil
}
