package host

import (
	"reflect"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// services are the names under which a settings file may hold a service's own part.
var services = []string{"requester", "provider-executors", "status-tracker", "notifier"}

// DecodeSections reads a settings file: common keys into common, and under a service's name what that
// service is told. All are pointers to structs. Sections of services that are not asked for are left
// alone; every other key has to be known, as in Decode.
func DecodeSections(path string, common any, sections map[string]any) error {
	// One struct with a field per section, so that the decoder is strict and knows every line.
	fields := []reflect.StructField{{Name: "Common", Type: reflect.TypeOf(common).Elem(), Tag: `yaml:",inline"`}}
	for i, name := range services {
		t := reflect.TypeFor[yaml.Node]()
		if into, wanted := sections[name]; wanted {
			t = reflect.TypeOf(into).Elem()
		}
		fields = append(fields, reflect.StructField{Name: "Section" + strconv.Itoa(i), Type: t, Tag: reflect.StructTag(`yaml:"` + name + `"`)})
	}
	doc := reflect.New(reflect.StructOf(fields))
	targets := map[int]any{0: common}
	for name, into := range sections {
		targets[1+slices.Index(services, name)] = into
	}
	for i, into := range targets { // what the file does not say stays as it is
		doc.Elem().Field(i).Set(reflect.ValueOf(into).Elem())
	}
	if err := DecodeFile(path, doc.Interface()); err != nil {
		return err
	}
	for i, into := range targets {
		reflect.ValueOf(into).Elem().Set(doc.Elem().Field(i))
	}
	return nil
}
