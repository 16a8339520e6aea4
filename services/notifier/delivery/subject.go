package delivery

import (
	"fmt"
	"strings"

	"github.com/backupbus/backupbus/events"
)

// Subject is where the queue keeps d, below the root of the deliveries' subjects:
// {root}.{project token}.{subscription id}.{delivery id}.
func (d Delivery) Subject(root string) (string, error) {
	project, err := events.Token(d.Project)
	if err != nil {
		return "", fmt.Errorf("project: %w", err)
	}
	return strings.Join([]string{root, project, d.SubscriptionID, d.ID}, "."), nil
}

// ParseSubject takes the ids out of a subject that Subject made.
func ParseSubject(root, subject string) (subscriptionID, deliveryID string, err error) {
	rest, ok := strings.CutPrefix(subject, root+".")
	t := strings.Split(rest, ".")
	if !ok || len(t) != 3 {
		return "", "", fmt.Errorf("%w: subject %q is not of a delivery", events.ErrUnreadable, subject)
	}
	return t[1], t[2], nil
}
