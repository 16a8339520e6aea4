package requester

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/requester/door/cloudsql"
	"github.com/backupbus/backupbus/services/requester/door/gaussdb"
)

// Config of the requester. The zero value works.
type Config struct {
	// Listen is the address of all doors, default 127.0.0.1:8080. Only loopback.
	Listen string `yaml:"listen"`
	// TLS are the files of a certificate: then all doors are served over TLS, and nothing in cleartext.
	TLS host.TLS `yaml:"tls"`
	// MaxAttempts is how often a backup is tried, default 3.
	MaxAttempts int `yaml:"maxAttempts"`
	// VisibleIn is how long an answer waits until the view shows what was asked for, default 2 s.
	VisibleIn time.Duration `yaml:"visibleIn"`
	// Providers are those that an executor serves somewhere: others cannot be registered. Default sqlite.
	Providers []string `yaml:"providers"`
	// Notifier is where subscriptions are served, as http://127.0.0.1:8082: requests for them are forwarded to it. Of
	// several, comma separated, to the first that can be connected to. Without it there is no API for subscriptions.
	// Only loopback.
	Notifier string `yaml:"notifier"`
	// CloudSQL are the settings of that door.
	CloudSQL cloudsql.Config `yaml:"cloudsql"`
	// GaussDB are the settings of that door.
	GaussDB gaussdb.Config `yaml:"gaussdb"`
}

// Validate reports all mistakes at once.
func (c Config) Validate() error {
	var errs []error
	if err := host.CheckListen(c.listen()); err != nil {
		errs = append(errs, fmt.Errorf("listen: %w", err))
	}
	if err := c.TLS.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("tls: %w", err))
	}
	if c.MaxAttempts < 0 || c.MaxAttempts > 20 {
		errs = append(errs, fmt.Errorf("maxAttempts: %d is not between 1 and 20", c.MaxAttempts))
	}
	if c.VisibleIn < 0 || c.VisibleIn > time.Minute {
		errs = append(errs, fmt.Errorf("visibleIn: %s is not between 0 and 1m", c.VisibleIn))
	}
	if _, err := c.notifiers(); err != nil {
		errs = append(errs, fmt.Errorf("notifier: %w", err))
	}
	if err := c.CloudSQL.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("cloudsql: %w", err))
	}
	return errors.Join(errs...)
}

func (c Config) notifiers() ([]*url.URL, error) {
	if c.Notifier == "" {
		return nil, nil
	}
	var all []*url.URL
	for one := range strings.SplitSeq(c.Notifier, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Scheme != "http" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
			return nil, errors.New("has to be an address as http://127.0.0.1:8082, or several with commas between")
		}
		if err := host.CheckListen(u.Host); err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

func (c Config) providers() []string {
	if len(c.Providers) == 0 {
		return []string{"sqlite"}
	}
	return c.Providers
}

func (c Config) listen() string {
	if c.Listen == "" {
		return "127.0.0.1:8080"
	}
	return c.Listen
}
