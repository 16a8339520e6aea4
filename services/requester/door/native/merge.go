package native

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/mergepatch"
	"github.com/backupbus/backupbus/services/requester/intake"
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

// mergeInstance is the same on what is known of an instance. Its members were not checked before.
func mergeInstance(c events.InstanceConfig, patch json.RawMessage) (out events.InstanceConfig, err error) {
	doc, err := json.Marshal(configBody(c))
	if err != nil {
		return out, err
	}
	if doc, err = mergepatch.Merge(doc, patch); err != nil {
		return out, err
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	var body configBody
	if err := dec.Decode(&body); err != nil {
		return out, &intake.Error{Kind: intake.Invalid, Reason: intake.SchemaViolation, Message: "config: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	return events.InstanceConfig(body), nil
}
