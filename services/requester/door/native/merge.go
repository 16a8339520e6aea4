package native

import (
	"encoding/json"
	"errors"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

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

// mergeInstance is the same on what is known of an instance. The patch may have any members, so what comes of it is
// checked against the schema that a whole one has.
func (d *Door) mergeInstance(c events.InstanceConfig, patch json.RawMessage) (out events.InstanceConfig, err error) {
	doc, err := json.Marshal(configBody(c))
	if err != nil {
		return out, err
	}
	if doc, err = mergepatch.Merge(doc, patch); err != nil {
		return out, err
	}
	var merged any
	if err := json.Unmarshal(doc, &merged); err != nil {
		return out, err
	}
	schemas, found := d.api.Components.Schemas, &huma.ValidateResult{}
	huma.Validate(schemas, schemas.Schema(reflect.TypeFor[configBody](), true, ""), huma.NewPathBuffer([]byte("config"), len("config")), huma.ModeWriteToServer, merged, found)
	if len(found.Errors) > 0 {
		return out, &intake.Error{Kind: intake.Invalid, Reason: intake.SchemaViolation, Message: events.Clip(errors.Join(found.Errors...).Error(), maxDetail)}
	}
	var body configBody
	err = json.Unmarshal(doc, &body)
	return events.InstanceConfig(body), err
}

const maxDetail = 1 << 10 // bytes of the text that says what is wrong
