package bus

import (
	"fmt"
	"io"
	"strings"
)

// ServicesAccount is the account of the services: streams and durables are there.
const ServicesAccount = "BACKUPBUS"

// WriteServerConfig writes the part of a nats-server's configuration that says who may what: an account for the
// services on t, and one for each outsider, into which crosses what is its own and no more. key is asked for the public
// key of each user.
func WriteServerConfig(w io.Writer, t Topology, outsiders []Outsider, key func(user string) (string, error)) error {
	projects, foreign, err := resolveAll(outsiders)
	if err != nil {
		return err
	}
	c := &serverConf{key: key}
	c.line("# Who may what on the bus. Written by `backupbus nats-config`: write it anew rather than change it.")
	c.open("accounts {")
	c.services(Users(t, foreign...), projects)
	for _, p := range projects {
		c.project(p)
	}
	c.close("}")
	if c.err != nil {
		return c.err
	}
	_, err = io.WriteString(w, c.text.String())
	return err
}

// serverConf is a configuration in the making; its first error stays.
type serverConf struct {
	key   func(user string) (string, error)
	text  strings.Builder
	depth int
	err   error
}

func (c *serverConf) line(format string, v ...any) {
	c.text.WriteString(strings.Repeat("  ", c.depth))
	fmt.Fprintf(&c.text, format+"\n", v...)
}

func (c *serverConf) open(format string, v ...any) {
	c.line(format, v...)
	c.depth++
}

func (c *serverConf) close(end string) {
	c.depth--
	c.line("%s", end)
}

func (c *serverConf) services(users []User, projects []project) {
	c.open("%s {", ServicesAccount)
	c.line("jetstream: enabled")
	c.open("users: [")
	for _, u := range users {
		c.user(u)
	}
	c.close("]")
	c.exports(projects)
	c.close("}")
}

func (c *serverConf) user(u User) {
	public, err := c.key(u.Name)
	if err != nil && c.err == nil {
		c.err = err
	}
	c.line("# %s", u.Name)
	c.open("{ nkey: %q, permissions: {", public)
	c.open("publish: {")
	c.list("allow", u.Publish)
	c.list("deny", u.Forbidden)
	c.close("}")
	c.open("subscribe: {")
	c.list("allow", u.Subscribe)
	c.close("}")
	c.close("} }")
}

func (c *serverConf) list(name string, subjects []string) {
	if len(subjects) == 0 {
		return
	}
	c.open("%s: [", name)
	for _, s := range subjects {
		c.line("%q", s)
	}
	c.close("]")
}

func (c *serverConf) exports(projects []project) {
	if len(projects) == 0 {
		return
	}
	c.open("exports: [")
	for _, p := range projects {
		for _, q := range p.rights.Requests {
			answers := "singleton"
			if q.Messages {
				answers = "stream"
			}
			c.line("{ service: %q, accounts: [%q], response_type: %s }", q.Handler, p.account, answers)
		}
		for _, subject := range p.rights.Hears {
			c.line("{ stream: %q, accounts: [%q] }", subject, p.account)
		}
	}
	c.close("]")
}

func (c *serverConf) project(p project) {
	c.open("%q {", p.account)
	c.open("imports: [")
	for _, q := range p.rights.Requests {
		c.line("{ service: { account: %s, subject: %q }, to: %q }", ServicesAccount, q.Handler, q.Subject)
	}
	for _, subject := range p.rights.Hears {
		c.line("{ stream: { account: %s, subject: %q } }", ServicesAccount, subject)
	}
	c.close("]")
	c.open("users: [")
	c.user(p.user)
	c.close("]")
	c.close("}")
}
