package notifier

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"

	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/notifier/mail"
	"github.com/backupbus/backupbus/services/notifier/sink"
	"github.com/backupbus/backupbus/services/notifier/subscription"
	"github.com/backupbus/backupbus/services/secret"
)

// Config of the notifier. The zero value works and delivers nothing.
type Config struct {
	// Origin is the name by which receivers know this deployment (header WebHook-Request-Origin); default
	// the bus's name. With Mail a host name, as it goes into message ids.
	Origin string `yaml:"origin"`
	// AllowCIDRs open private ranges and loopback to sinks, and are where plain http may go. An entry is an
	// exact range, as 10.1.2.0/24 or ::1/128. Link-local, metadata and multicast addresses stay closed.
	AllowCIDRs []string `yaml:"allowCidrs"`
	// AllowedPorts are allowed besides 443 and 8443.
	AllowedPorts []int `yaml:"allowedPorts"`
	// KeyRef is where the key lies under which subscriptions of the API are sealed: env:NAME or file:/path (mode 0600),
	// the base64 of 32 random bytes. Without it there is no API, only the subscriptions below.
	KeyRef string `yaml:"keyRef"`
	// Listen is the address of the API, default 127.0.0.1:8082. Only loopback: the requester forwards to it.
	Listen string `yaml:"listen"`
	// Handshake is on (default): a sink that gives no permission gets at most six requests a minute. off: the
	// operator vouches for all sinks. Those of the subscriptions below are vouched for by standing there.
	Handshake string `yaml:"handshake"`
	// MaxSubscriptions are allowed in a project over the API, default 50.
	MaxSubscriptions int `yaml:"maxSubscriptions"`
	// Mail is the server by which sinks mailto: are written to.
	Mail mail.Config `yaml:"mail"`
	// Subscriptions are what is delivered to whom, besides those of the API.
	Subscriptions []subscription.Subscription `yaml:"subscriptions"`
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)

const (
	maxOrigin     = 253
	handshakeOn   = "on"
	handshakeOff  = "off"
	defaultListen = "127.0.0.1:8082"
)

func (c Config) listen() string {
	if c.Listen == "" {
		return defaultListen
	}
	return c.Listen
}

// Validate reports all mistakes at once, each with the place where it stands and what to do about it. It
// reads no secret and resolves no name.
func (c Config) Validate() error {
	var errs []error
	if len(c.Origin) > maxOrigin || !visible(c.Origin) {
		errs = append(errs, fmt.Errorf("origin: has to be a name of at most %d visible ASCII characters, as backup.example.com", maxOrigin))
	}
	if c.Mail.Address != "" && c.Origin != "" && !hostName.MatchString(c.Origin) {
		errs = append(errs, errors.New("origin: has to be a host name, as backup.example.com: e-mail uses it in message ids"))
	}
	for i, p := range c.AllowedPorts {
		if p < 1 || p > 65535 {
			errs = append(errs, fmt.Errorf("allowedPorts[%d]: %d is not between 1 and 65535", i, p))
		}
	}
	if c.KeyRef != "" {
		if err := secret.Check(c.KeyRef); err != nil {
			errs = append(errs, fmt.Errorf("keyRef: %w", err))
		}
	}
	if err := host.CheckListen(c.listen()); err != nil {
		errs = append(errs, fmt.Errorf("listen: %w", err))
	}
	if c.Handshake != "" && c.Handshake != handshakeOn && c.Handshake != handshakeOff {
		errs = append(errs, errors.New("handshake: has to be on or off"))
	}
	if c.MaxSubscriptions < 0 {
		errs = append(errs, fmt.Errorf("maxSubscriptions: %d is negative", c.MaxSubscriptions))
	}
	for _, err := range c.Mail.Problems() {
		errs = append(errs, fmt.Errorf("mail.%w", err))
	}
	if c.Mail.PasswordRef != "" {
		if err := secret.Check(c.Mail.PasswordRef); err != nil {
			errs = append(errs, fmt.Errorf("mail.passwordRef: %w", err))
		}
	}
	cidrs, problems := c.cidrs()
	errs = append(errs, problems...)
	ways := registry{rules: sink.Rules{AllowCIDRs: cidrs, Ports: c.AllowedPorts}, mail: mail.NewServer(c.Mail, "", "")}
	names := map[[2]string]int{}
	for i, s := range c.Subscriptions {
		path := fmt.Sprintf("subscriptions[%d]", i)
		errs = append(errs, s.Problems(path)...)
		if _, err := ways.judge(string(s.Sink)); err != nil {
			errs = append(errs, fmt.Errorf("%s.sink: %w", path, err))
		}
		if mail.Is(string(s.Sink)) {
			if s.SecretRef != "" || s.Format != "" {
				errs = append(errs, fmt.Errorf("%s: an e-mail is not signed and has no format: remove secretRef and format", path))
			}
		} else if err := secret.Check(s.SecretRef); err != nil {
			errs = append(errs, fmt.Errorf("%s.secretRef: %w", path, err))
		}
		key := [2]string{s.Project, s.Name}
		if first, twice := names[key]; twice {
			errs = append(errs, fmt.Errorf("%s.name: %q is that of subscriptions[%d] too: names are unique in a project", path, s.Name, first))
			continue
		}
		names[key] = i
	}
	return errors.Join(errs...)
}

// cidrs are the entries that can be read, and what is wrong with the others.
func (c Config) cidrs() (out []netip.Prefix, problems []error) {
	for i, s := range c.AllowCIDRs {
		p, err := sink.ParseCIDR(s)
		if err != nil {
			problems = append(problems, fmt.Errorf("allowCidrs[%d]: %w", i, err))
			continue
		}
		out = append(out, p)
	}
	return out, problems
}

func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
