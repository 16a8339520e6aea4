package spanner

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The fields that filters may name are those of the messages that are shown.

// backupFields are those of ListBackups (spanner.md 5).
type backupFields struct{}

var filterable = []string{"name", "database", "state", "create_time", "expire_time", "version_time", "size_bytes", "backup_schedules"}

func (backupFields) of(path string) (kind, bool) {
	if !slices.Contains(filterable, path) {
		return kind{}, false
	}
	return kindAt((*databasepb.Backup)(nil).ProtoReflect().Descriptor(), path)
}

// operationFields are those of operations; metadata and response are of whatever type they have.
type operationFields struct{}

var (
	metadataTypes = []proto.Message{(*databasepb.CreateBackupMetadata)(nil), (*databasepb.CopyBackupMetadata)(nil), (*databasepb.RestoreDatabaseMetadata)(nil)}
	responseTypes = []proto.Message{(*databasepb.Backup)(nil), (*databasepb.Database)(nil)}
)

func (operationFields) of(path string) (kind, bool) {
	root, rest, nested := strings.Cut(path, ".")
	var types []proto.Message
	switch {
	case root == "metadata" && nested:
		types = metadataTypes
	case root == "response" && nested:
		types = responseTypes
	case slices.Contains([]string{"name", "done", "error", "metadata", "response"}, root):
		return kindAt((*longrunningpb.Operation)(nil).ProtoReflect().Descriptor(), path)
	}
	if len(types) > 0 && rest == "@type" {
		return kind{kind: protoreflect.StringKind}, true
	}
	for _, t := range types {
		if k, ok := kindAt(t.ProtoReflect().Descriptor(), rest); ok {
			return k, true
		}
	}
	return kind{}, false
}

func kindAt(d protoreflect.MessageDescriptor, path string) (kind, bool) {
	first, rest, nested := strings.Cut(path, ".")
	f := d.Fields().ByName(protoreflect.Name(first))
	switch {
	case f == nil || f.IsMap():
		return kind{}, false
	case nested:
		if f.Message() == nil {
			return kind{}, false
		}
		return kindAt(f.Message(), rest)
	}
	k := kind{kind: f.Kind(), list: f.IsList()}
	if f.Message() != nil {
		k.time = f.Message().FullName() == timestamp
	}
	if f.Kind() == protoreflect.EnumKind {
		k.enum = f.Enum()
	}
	return k, true
}

// shown is a message as filters see it.
type shown struct{ proto.Message }

func (s shown) values(path string) []string { return valuesAt(s.ProtoReflect(), path) }

func valuesAt(m protoreflect.Message, path string) (out []string) {
	if any, ok := m.Interface().(*anypb.Any); ok {
		if path == "@type" {
			return []string{any.GetTypeUrl()}
		}
		inner, err := any.UnmarshalNew()
		if err != nil {
			return nil
		}
		m = inner.ProtoReflect()
	}
	first, rest, nested := strings.Cut(path, ".")
	f := m.Descriptor().Fields().ByName(protoreflect.Name(first))
	if f == nil || f.HasPresence() && !m.Has(f) {
		return nil
	}
	v := m.Get(f)
	if f.IsList() {
		for i := range v.List().Len() {
			out = append(out, valueOf(f, v.List().Get(i), rest, nested)...)
		}
		return out
	}
	return valueOf(f, v, rest, nested)
}

func valueOf(f protoreflect.FieldDescriptor, v protoreflect.Value, rest string, nested bool) []string {
	switch {
	case f.Message() != nil && nested:
		return valuesAt(v.Message(), rest)
	case f.Message() != nil:
		if t, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
			return []string{t.AsTime().Format(time.RFC3339Nano)}
		}
		return []string{""} // it is there
	case f.Kind() == protoreflect.EnumKind:
		if e := f.Enum().Values().ByNumber(v.Enum()); e != nil {
			return []string{string(e.Name())}
		}
		return nil
	case f.Kind() == protoreflect.StringKind && v.String() == "" && !f.IsList():
		return nil
	}
	return []string{v.String()}
}

// snakePath is a path with its fields as the descriptors name them.
func snakePath(path string) string {
	var b strings.Builder
	for _, r := range path {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

func validText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}
