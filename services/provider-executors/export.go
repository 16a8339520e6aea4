package executors

import (
	"context"
	"fmt"
	"io"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
)

// Export writes the plain bytes of a stored copy to w: what the tool made, decrypted and decompressed. A copy
// of several objects needs the name of a database, or of an object without its endings. Sizes and checksums
// were compared before the first byte, with those of a further copy where the first is damaged; w has got all of
// it only after nil.
func (i *Inspector) Export(ctx context.Context, r executor.Ref, want *events.Checksum, name string, w io.Writer) error {
	c, m, err := i.shared.Engine.Usable(ctx, r, want)
	if err != nil {
		return err
	}
	o, err := pick(m, name)
	if err != nil {
		return err
	}
	_, err = c.Extract(ctx, o, w)
	return err
}

func pick(m archive.Manifest, name string) (archive.Object, error) {
	if name == "" && len(m.Objects) == 1 {
		return m.Objects[0], nil
	}
	var names []string
	for _, o := range m.Objects {
		if name != "" && (o.Database == name || o.Name == name) {
			return o, nil
		}
		names = append(names, o.Name)
	}
	return archive.Object{}, &events.Failure{Code: events.NotFound, Category: events.ByUser,
		Message: fmt.Sprintf("name one object of the copy, or its database: there is %s", events.Clip(fmt.Sprint(names), 1500))}
}
