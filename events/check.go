package events

import (
	"encoding/json"
	"fmt"
)

// Mismatch reports where an event contradicts the subject it came on, or its own data: project,
// provider, instance, partitionkey, type (events.md 3.3). nil means that they agree.
func Mismatch(e Event, subject string) error {
	s, err := ParseSubject(subject)
	if err != nil {
		return err
	}
	t, err := ParseType(e.Type)
	if err != nil {
		return err
	}
	provider, instance := s.Provider, s.Instance
	if provider == none {
		provider = ""
	}
	if instance == none {
		instance = ""
	}
	switch {
	case e.Project != s.Project:
		return fmt.Errorf("project is %q, the subject says %q", e.Project, s.Project)
	case e.Provider != provider:
		return fmt.Errorf("provider is %q, the subject says %q", e.Provider, provider)
	case e.Instance != instance:
		return fmt.Errorf("instance is %q, the subject says %q", e.Instance, instance)
	case e.PartitionKey != s.ID:
		return fmt.Errorf("partitionkey is %q, the subject says %q", e.PartitionKey, s.ID)
	case t.Entity != s.Entity || s.Step != "" && t.Step != s.Step:
		return fmt.Errorf("type is %q, the subject says %s.%s", e.Type, s.Entity, s.Step)
	}
	var d struct{ Project, Provider, Instance string }
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	for _, n := range []struct{ what, raw, token string }{
		{"project", d.Project, e.Project}, {"provider", d.Provider, e.Provider}, {"instance", d.Instance, e.Instance},
	} {
		if n.raw == "" && n.token == "" {
			continue
		}
		if tok, err := Token(n.raw); err != nil || tok != n.token {
			return fmt.Errorf("data names another %s", n.what)
		}
	}
	return nil
}
