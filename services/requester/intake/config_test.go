package intake

import (
	"errors"
	"strings"
	"testing"

	"github.com/backupbus/backupbus/events"
)

func TestConfig_RefusesWhatNoExecutorCouldUse(t *testing.T) {
	t.Parallel()
	const key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
	server := events.InstanceConfig{Address: "db1:5432", User: "backup"}
	file := events.InstanceConfig{File: "/var/lib/orders.db"}
	with := func(c events.InstanceConfig, change func(*events.InstanceConfig)) events.InstanceConfig {
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		provider string
		config   events.InstanceConfig
		says     string // empty: accepted
	}{
		"a file":         {"sqlite", file, ""},
		"a server":       {"postgres", server, ""},
		"a socket":       {"mysql", with(server, func(c *events.InstanceConfig) { c.Address = "/run/mysqld/mysqld.sock" }), ""},
		"an IPv6 server": {"mysql", with(server, func(c *events.InstanceConfig) { c.Address = "[::1]:3306" }), ""},
		"copies":         {"sqlite", with(file, func(c *events.InstanceConfig) { c.Storage, c.CopyTo = "near", []string{"far", "farther"} }), ""},
		"a recipient":    {"sqlite", with(file, func(c *events.InstanceConfig) { c.EncryptTo = []string{key} }), ""},

		"no file":                  {"sqlite", events.InstanceConfig{}, "absolute path"},
		"relative file":            {"sqlite", events.InstanceConfig{File: "orders.db"}, "absolute path"},
		"a server for sqlite":      {"sqlite", with(file, func(c *events.InstanceConfig) { c.Address = "db1:1" }), "for servers"},
		"a file for a server":      {"mysql", with(server, func(c *events.InstanceConfig) { c.File = "/x" }), "for provider sqlite only"},
		"no port":                  {"mysql", with(server, func(c *events.InstanceConfig) { c.Address = "db1" }), "host:port"},
		"port 0":                   {"mysql", with(server, func(c *events.InstanceConfig) { c.Address = "db1:0" }), "host:port"},
		"port of five digits":      {"mysql", with(server, func(c *events.InstanceConfig) { c.Address = "db1:65536" }), "host:port"},
		"a URL":                    {"mysql", with(server, func(c *events.InstanceConfig) { c.Address = "tcp://u@db1:1" }), "host:port"},
		"no user":                  {"postgres", events.InstanceConfig{Address: "db1:1"}, "config.user is missing"},
		"control character":        {"postgres", with(server, func(c *events.InstanceConfig) { c.User = "a\nb" }), "control character"},
		"a proof that is none":     {"sqlite", with(file, func(c *events.InstanceConfig) { c.SuccessfulWhen = "SURE" }), "successfulWhen"},
		"a method that is none":    {"postgres", with(server, func(c *events.InstanceConfig) { c.Method = "MAGIC" }), "method"},
		"a TLS mode that is none":  {"postgres", with(server, func(c *events.InstanceConfig) { c.TLS = &events.InstanceTLS{Mode: "MAYBE"} }), "tls.mode"},
		"a storage by URL":         {"sqlite", with(file, func(c *events.InstanceConfig) { c.Storage = "s3://bucket" }), "config.storage"},
		"a copy by URL":            {"sqlite", with(file, func(c *events.InstanceConfig) { c.CopyTo = []string{"s3://bucket"} }), "config.copyTo[0]"},
		"a copy beside itself":     {"sqlite", with(file, func(c *events.InstanceConfig) { c.Storage, c.CopyTo = "near", []string{"near"} }), "would be no copy"},
		"a copy twice":             {"sqlite", with(file, func(c *events.InstanceConfig) { c.CopyTo = []string{"far", "far"} }), "config.copyTo[1]"},
		"five copies":              {"sqlite", with(file, func(c *events.InstanceConfig) { c.CopyTo = []string{"a", "b", "c", "d", "e"} }), "more than 4"},
		"a secret for a recipient": {"sqlite", with(file, func(c *events.InstanceConfig) { c.EncryptTo = []string{"AGE-SECRET-KEY-1QQ"} }), "no age recipient"},
		"a password":               {"postgres", with(server, func(c *events.InstanceConfig) { c.CredentialRef = "hunter2" }), "must never be sent"},
		"a hook that is a command": {"sqlite", with(file, func(c *events.InstanceConfig) { c.Hooks = &events.InstanceHooks{Pre: "rm -rf /"} }), "config.hooks.pre"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := config(c.provider, c.config)
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var refused *Error
			if !errors.As(err, &refused) || refused.Kind != Invalid || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v", err)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "SECRET-KEY") {
				t.Errorf("what may be a secret is repeated: %v", err)
			}
		})
	}
}
