package native

import (
	"encoding/json"

	"github.com/backupbus/backupbus/services/mergepatch"
)

// mergePatch is RFC 7396 on a configuration. The patch was checked against the schema before; absent changes nothing.
func mergePatch(c scheduleConfig, patch json.RawMessage) (scheduleConfig, error) {
	if len(patch) == 0 {
		return c, nil
	}
	doc, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	if doc, err = mergepatch.Merge(doc, patch); err != nil {
		return c, err
	}
	var out scheduleConfig
	return out, json.Unmarshal(doc, &out)
}
