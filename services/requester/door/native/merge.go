package native

import "encoding/json"

// mergePatch is RFC 7396 on a configuration. The patch was checked against the schema before; absent changes nothing.
func mergePatch(c scheduleConfig, patch json.RawMessage) (scheduleConfig, error) {
	if len(patch) == 0 {
		return c, nil
	}
	doc, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	var target, change any
	if err := json.Unmarshal(doc, &target); err != nil {
		return c, err
	}
	if err := json.Unmarshal(patch, &change); err != nil {
		return c, err
	}
	if doc, err = json.Marshal(merge(target, change)); err != nil {
		return c, err
	}
	var out scheduleConfig
	return out, json.Unmarshal(doc, &out)
}

func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	into, ok := target.(map[string]any)
	if !ok {
		into = map[string]any{}
	}
	for k, v := range changes {
		if v == nil {
			delete(into, k)
			continue
		}
		into[k] = merge(into[k], v)
	}
	return into
}
