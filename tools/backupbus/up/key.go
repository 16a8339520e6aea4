package up

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/backupbus/backupbus/services/notifier"
	"github.com/backupbus/backupbus/services/notifier/subscription"
)

// keyFile lies in the data folder: without it, subscriptions cannot be opened again.
const keyFile = "notifier.key"

// ensureKey makes the key under which subscriptions are sealed, at the first start, unless the settings name one.
func ensureKey(data string, c *notifier.Config) error {
	if c.KeyRef != "" {
		return nil
	}
	path := filepath.Join(data, keyFile)
	c.KeyRef = "file:" + path
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Written aside and renamed: a start that dies in between leaves no half of a key.
	f, err := os.CreateTemp(data, keyFile+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("make the key of subscriptions: %w", err)
	}
	_, err = f.WriteString(subscription.NewSealKey() + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make the key of subscriptions: %w", err), os.Remove(f.Name()))
	}
	return nil
}
