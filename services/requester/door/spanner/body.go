package spanner

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const (
	maxDepth  = 32 // of a JSON body
	badJSON   = "Invalid JSON payload received. "
	timestamp = protoreflect.FullName("google.protobuf.Timestamp")
)

// descriptorOf is the service's descriptor, which its generated package has embedded.
func descriptorOf(s *grpc.ServiceDesc) (protoreflect.ServiceDescriptor, error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(s.ServiceName))
	if err != nil {
		return nil, err
	}
	service, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, errors.New(s.ServiceName + " is no service")
	}
	return service, nil
}

// readBody decodes the JSON of the field that the body is; * is the whole request. Nothing at all is an empty object.
func readBody(into proto.Message, field string, raw []byte) error {
	target, at := into.ProtoReflect(), ""
	if field != "*" {
		f := target.Descriptor().Fields().ByName(protoreflect.Name(field))
		target, at = target.Mutable(f).Message(), field
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	if !utf8.Valid(raw) {
		return invalid("%sThe body is not UTF-8.", badJSON)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return invalid("%sThe body is not well-formed JSON.", badJSON)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalid("%sThere is more than one JSON value in the body.", badJSON)
	}
	if err := checkJSON(target.Descriptor(), doc, at, 0); err != nil {
		return err
	}
	if err := protojson.Unmarshal(raw, target.Interface()); err != nil {
		message := badJSON + "A field has a value of the wrong type, or is there twice."
		return invalid("%s", message).at(at, message)
	}
	return nil
}

// checkJSON finds what production words in its own way: unknown fields and times (spanner.md (b) 47, 48).
func checkJSON(d protoreflect.MessageDescriptor, doc any, at string, depth int) error {
	object, ok := doc.(map[string]any)
	if !ok || depth > maxDepth {
		return invalid("%sAn object is expected at '%s'.", badJSON, at)
	}
	if d.FullName() == "google.protobuf.Any" || d.ParentFile().Package() == "google.protobuf" {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		f := fieldOf(d, name)
		if f == nil {
			message := badJSON + `Unknown name "` + shorten(name) + `"`
			if at != "" {
				message += " at '" + at + "'"
			}
			return invalid("%s: Cannot find field.", message).at(at, message+": Cannot find field.")
		}
		if err := checkField(f, object[name], join(at, string(f.Name())), depth); err != nil {
			return err
		}
	}
	return nil
}

func checkField(f protoreflect.FieldDescriptor, value any, at string, depth int) error {
	switch {
	case value == nil || f.Kind() != protoreflect.MessageKind || f.IsMap():
		return nil
	case f.IsList():
		list, _ := value.([]any) // else protojson says what is wrong
		for _, v := range list {
			if err := checkJSON(f.Message(), v, at, depth+1); err != nil {
				return err
			}
		}
		return nil
	case f.Message().FullName() == timestamp:
		return checkTime(f, value, at)
	case f.Message().ParentFile().Package() == "google.protobuf":
		return nil
	}
	return checkJSON(f.Message(), value, at, depth+1)
}

func checkTime(f protoreflect.FieldDescriptor, value any, at string) error {
	text, isText := value.(string)
	if isText {
		if _, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return nil
		}
	} else if n, ok := value.(json.Number); ok {
		text = n.String()
	}
	message := "Invalid value at '" + at + "' (type.googleapis.com/" + string(timestamp) + "), Field '" + f.JSONName() + "', Invalid data type for timestamp, value is " + shorten(text)
	return invalid("%s", message).at(at, message)
}

// at adds the field that a refusal is about.
func (e *rpcError) at(field, description string) *rpcError {
	return e.with(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: description}}})
}

// fieldOf finds a field by either of its names.
func fieldOf(d protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := d.Fields().ByJSONName(name); f != nil {
		return f
	}
	return d.Fields().ByTextName(name)
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// compact takes out the spaces that protojson puts in at random.
func compact(raw []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return raw
	}
	return b.Bytes()
}
