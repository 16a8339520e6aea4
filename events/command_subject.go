package events

import (
	"fmt"
	"regexp"
	"strings"
)

// CommandSubject is a parsed command subject. Names are tokens.
type CommandSubject struct {
	Project, Provider, Instance string // Provider is empty for `_`
	Verb                        Verb
}

// ParseCommandSubject takes `backupbus.v1.command.{project}.{provider or _}.{instance}.backup.{verb}` apart. The
// project is returned as far as it can be read: the refusal goes there.
func ParseCommandSubject(subject string) (CommandSubject, error) {
	rest, ok := strings.CutPrefix(subject, CommandRoot+".")
	t := strings.Split(rest, ".")
	if !ok || !tokenForm.MatchString(t[0]) {
		return CommandSubject{}, fmt.Errorf("it is not under %s.{project}", CommandRoot)
	}
	s := CommandSubject{Project: t[0]}
	if len(t) != 5 || t[3] != string(Backups) || !tokenForm.MatchString(t[2]) {
		return s, fmt.Errorf("it is not of the form %s.{project}.{provider or _}.{instance}.backup.{verb}", CommandRoot)
	}
	if s.Instance, s.Verb = t[2], Verb(t[4]); t[1] != none {
		s.Provider = t[1]
	}
	return s, nil
}

// tokenForm is what Token writes; a lone `_` stands for none and is no name.
var tokenForm = regexp.MustCompile(`^([A-Za-z0-9~-][A-Za-z0-9_~-]{0,63}|_[A-Za-z0-9_~-]{1,63})$`)

// CommandSubject is where a command about the instance is published; an empty provider is left open.
func (a Aggregate) CommandSubject(v Verb) (string, error) {
	head, err := a.head()
	if err != nil {
		return "", err
	}
	return bounded(CommandRoot + strings.TrimPrefix(head, EventRoot) + "." + string(Backups) + "." + string(v))
}
