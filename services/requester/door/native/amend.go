package native

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/backupbus/backupbus/services/requester/intake"
)

// amendBackupInput is a merge patch of a backup.
type amendBackupInput struct {
	OneBackup
	Traced
	Keyed
	RawBody []byte // tells null from what is not named
	Body    struct {
		Description *string            `json:"description,omitempty" maxLength:"1024"`
		ExpireTime  *time.Time         `json:"expireTime,omitempty" doc:"null: never"`
		Labels      map[string]*string `json:"labels,omitempty"`
		Held        *bool              `json:"held,omitempty"`
	}
}

// amend is what the patch asks for. The body was read before, so it is an object.
func (in *amendBackupInput) amend() intake.Amend {
	var named map[string]json.RawMessage
	_ = json.Unmarshal(in.RawBody, &named)
	a := intake.Amend{Description: orZero(in.Body.Description, named["description"]), ExpireTime: orZero(in.Body.ExpireTime, named["expireTime"]),
		Held: orZero(in.Body.Held, named["held"])}
	if _, said := named["labels"]; said {
		a.Labels = in.labels
	}
	return a
}

// labels are those of a backup after the patch.
func (in *amendBackupInput) labels(before map[string]string) map[string]string {
	after := map[string]string{}
	if in.Body.Labels != nil { // else all are taken out
		maps.Copy(after, before)
	}
	for name, value := range in.Body.Labels {
		delete(after, name)
		if value != nil {
			after[name] = *value
		}
	}
	return after
}

// orZero is v, or the zero value if null was said.
func orZero[T any](v *T, said json.RawMessage) *T {
	if v == nil && said != nil {
		return new(T)
	}
	return v
}
