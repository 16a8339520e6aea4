// Package mergepatch is RFC 7396 for any API of ours. A list in a patch replaces the list that is there as it stands; of
// the libraries evanphx/json-patch takes nulls out of it, with which a filter that is refused would become a wider one.
package mergepatch

import "encoding/json"

// Merge gives the document as it is after the patch; both are JSON values. An object keeps no order of members.
func Merge(doc, patch []byte) ([]byte, error) {
	var target, change any
	if err := json.Unmarshal(doc, &target); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(patch, &change); err != nil {
		return nil, err
	}
	return json.Marshal(merge(target, change))
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
