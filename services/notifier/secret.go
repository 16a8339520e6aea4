package notifier

import (
	"fmt"

	"github.com/backupbus/backupbus/services/notifier/delivery"
	"github.com/backupbus/backupbus/services/secret"
)

// readSecret follows a reference that secret.Check accepts.
func readSecret(ref string, env func(string) (string, bool)) (delivery.Secret, error) {
	text, err := secret.Read(ref, env)
	if err != nil {
		return delivery.Secret{}, err
	}
	s, err := delivery.ParseSecret(text)
	if err != nil {
		return delivery.Secret{}, fmt.Errorf("the secret in %s %w", ref, err)
	}
	return s, nil
}
