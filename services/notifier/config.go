package notifier

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/backupbus/backupbus/services/notifier/sink"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// Config of the notifier. The zero value works and delivers nothing.
type Config struct {
	// Origin is the name by which receivers know this deployment (header WebHook-Request-Origin); default
	// the bus's name.
	Origin string `yaml:"origin"`
	// AllowCIDRs open private ranges and loopback to sinks, and are where plain http may go. An entry is an
	// exact range, as 10.1.2.0/24 or ::1/128. Link-local, metadata and multicast addresses stay closed.
	AllowCIDRs []string `yaml:"allowCidrs"`
	// AllowedPorts are allowed besides 443 and 8443.
	AllowedPorts []int `yaml:"allowedPorts"`
	// Subscriptions are what is delivered to whom.
	Subscriptions []subscription.Subscription `yaml:"subscriptions"`
}

const maxOrigin = 253

// Validate reports all mistakes at once, each with the place where it stands and what to do about it. It
// reads no secret and resolves no name.
func (c Config) Validate() error {
	var errs []error
	if len(c.Origin) > maxOrigin || !visible(c.Origin) {
		errs = append(errs, fmt.Errorf("origin: has to be a name of at most %d visible ASCII characters, as backup.example.com", maxOrigin))
	}
	for i, p := range c.AllowedPorts {
		if p < 1 || p > 65535 {
			errs = append(errs, fmt.Errorf("allowedPorts[%d]: %d is not between 1 and 65535", i, p))
		}
	}
	cidrs, problems := c.cidrs()
	errs = append(errs, problems...)
	rules := sink.Rules{AllowCIDRs: cidrs, Ports: c.AllowedPorts}
	names := map[[2]string]int{}
	for i, s := range c.Subscriptions {
		path := fmt.Sprintf("subscriptions[%d]", i)
		errs = append(errs, s.Problems(path)...)
		if _, err := rules.Parse(string(s.Sink)); err != nil {
			errs = append(errs, fmt.Errorf("%s.sink: %w", path, err))
		}
		if err := checkRef(s.SecretRef); err != nil {
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
