package spanner

import (
	"net/url"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// systemParameters are of Google's front end and of no method (spanner.md 6).
var systemParameters = []string{"alt", "$alt", "prettyPrint", "$prettyPrint", "key", "access_token", "oauth_token", "quotaUser",
	"fields", "$.xgafv", "uploadType", "upload_protocol", "callback"}

const maxQueryValues = 200

// readQuery fills the fields that neither path nor body has. What names no field is refused: a typo must not pass.
func readQuery(into proto.Message, body string, path map[string]string, raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return invalid("Invalid query string.")
	}
	total := 0
	for name, list := range values {
		if slices.Contains(systemParameters, name) {
			delete(values, name)
			continue
		}
		total += len(list)
		if !bindable(into.ProtoReflect().Descriptor(), name, body, path) {
			return invalid("%sUnknown name %q: Cannot bind query parameter. Field '%s' could not be found in request message.", badJSON, shorten(name), shorten(name))
		}
	}
	if total > maxQueryValues {
		return invalid("The query has more than %d values.", maxQueryValues)
	}
	if err := runtime.PopulateQueryParameters(into, values, utilities.NewDoubleArray(nil)); err != nil {
		return invalid("%sA query parameter has a value of the wrong type, or is there twice.", badJSON)
	}
	return nil
}

// bindable tells whether a dotted name is of a field that the query may fill.
func bindable(d protoreflect.MessageDescriptor, name, body string, path map[string]string) bool {
	if body == "*" || len(name) > maxResource {
		return false
	}
	var at []string
	for _, part := range strings.Split(name, ".") {
		if d == nil {
			return false
		}
		f := fieldOf(d, part)
		if f == nil {
			return false
		}
		at = append(at, string(f.Name()))
		d = f.Message()
	}
	_, inPath := path[strings.Join(at, ".")]
	return !inPath && at[0] != body
}
