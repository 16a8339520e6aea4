package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/secret"
)

// endpoint is a server as the config of an instance names it.
type endpoint struct {
	network, address string
	user             string
	secret           secret.Value
	tls              *tls.Config // nil: in the clear
	timeout          time.Duration
}

func (e *Engine) endpoint(c events.InstanceConfig) (endpoint, error) {
	p := endpoint{network: "tcp", address: c.Address, user: c.User, timeout: e.config.ConnectTimeout}
	host := ""
	if filepath.IsAbs(c.Address) {
		p.network = "unix"
	} else {
		var err error
		if host, _, err = net.SplitHostPort(c.Address); err != nil || host == "" {
			return p, fmt.Errorf("%w: address: %w", rejected("the instance's address is neither host:port nor the absolute path of a socket: correct it"), err)
		}
	}
	if c.User == "" {
		return p, rejected("the instance names no user: set the account by which the executor logs in")
	}
	var err error
	if p.tls, err = protection(c.TLS, host); err != nil {
		return p, err
	}
	p.secret, err = e.Credentials.Resolve(c.CredentialRef)
	return p, err
}

// protection is how a connection to host is protected; host is empty for a socket.
func protection(c *events.InstanceTLS, host string) (*tls.Config, error) {
	mode, caFile := events.TLSVerifyFull, ""
	if host == "" || loopback(host) {
		mode = events.TLSDisable
	}
	if c != nil {
		if caFile = c.CAFile; c.Mode != "" {
			mode = c.Mode
		}
	}
	switch mode {
	case events.TLSDisable:
		return nil, nil
	case events.TLSRequire: // encrypted, to whomever: this is what the mode says
		return &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, nil
	case events.TLSVerifyFull:
	default:
		return nil, rejected("the TLS mode of the instance is not known: use DISABLE, REQUIRE or VERIFY_FULL")
	}
	t := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", rejected("the instance's tls.caFile cannot be read where the executor runs: put it there, open to the executor's user"), err)
	}
	t.RootCAs = x509.NewCertPool()
	if !t.RootCAs.AppendCertsFromPEM(pem) {
		return nil, rejected("the instance's tls.caFile holds no certificate in PEM form: correct it")
	}
	return t, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// dial opens a bare connection.
func (p endpoint) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: p.timeout}
	return d.DialContext(ctx, p.network, p.address)
}
