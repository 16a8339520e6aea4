package bus

import (
	"fmt"

	"github.com/backupbus/backupbus/events"
)

// Outsider is a project whose programs may connect, and the durables that the operator has made for them.
type Outsider struct {
	Project   string
	Consumers []string
}

// project is an outsider as the server's configuration has it.
type project struct {
	account string
	user    User
	rights  Rights
}

// resolve makes the user and its rights: OutsiderRights of one project, on a server where nobody serves outsiders. It
// makes no consumers, and takes from its own only (events.md 4.6).
func (o Outsider) resolve() (project, error) {
	token, err := events.Token(o.Project)
	if err != nil {
		return project{}, fmt.Errorf("project: %w", err)
	}
	server := func(subject string) Request { return Request{Subject: subject, Handler: subject} }
	own := events.EventRoot + "." + token + ".>"
	r := Rights{
		Requests: []Request{
			server(events.CommandRoot + "." + token + ".>"),
			server(directGet + EventStream + "." + own),
			server("$JS.API.INFO"), // clients ask whether JetStream is there; without it the account's own would answer everything
		},
		Hears: []string{own, events.ProgressRoot + "." + token + ".>", ReplyRoot + "." + token + ".>"},
	}
	for _, c := range o.Consumers {
		if err := CheckConsumerName(c); err != nil {
			return project{}, err
		}
		next := server(consumerAPI + "MSG.NEXT." + EventStream + "." + c)
		next.Messages = true
		r.Requests = append(r.Requests, server(consumerAPI+"INFO."+EventStream+"."+c), next, server("$JS.ACK."+EventStream+"."+c+".>"))
	}
	u := User{Name: "project-" + token, Subscribe: append([]string{InboxPrefix(token) + ".>"}, r.Hears...)}
	for _, q := range r.Requests {
		u.Publish = append(u.Publish, q.Subject)
	}
	return project{"PROJECT_" + token, u, r}, nil
}

// CheckOutsiders refuses what has no name of a project or consumer, or names one twice.
func CheckOutsiders(outsiders []Outsider) error {
	_, _, err := resolveAll(outsiders)
	return err
}

// resolveAll wants each project once, and each consumer in one of them.
func resolveAll(outsiders []Outsider) (all []project, consumers []string, err error) {
	owner, seen := map[string]string{}, map[string]bool{}
	for _, o := range outsiders {
		if seen[o.Project] {
			return nil, nil, fmt.Errorf("project %s is named twice: name it once, with all its consumers", o.Project)
		}
		seen[o.Project] = true
		for _, c := range o.Consumers {
			if of, taken := owner[c]; taken {
				return nil, nil, fmt.Errorf("consumer %s is of %s and of %s: a consumer is one project's", c, of, o.Project)
			}
			owner[c] = o.Project
		}
		p, err := o.resolve()
		if err != nil {
			return nil, nil, err
		}
		all, consumers = append(all, p), append(consumers, o.Consumers...)
	}
	return all, consumers, nil
}
