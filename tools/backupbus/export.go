package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/backupbus/backupbus/events"
)

func newRestoreExport(o *options) *cobra.Command {
	var l local
	var file, database string
	c := &cobra.Command{
		Use: "export BACKUP", Short: "Write what a copy holds to a file or standard output", Args: cobra.ExactArgs(1),
		Long: "Decrypts and decompresses a copy: what the database's own tool made. It reads the storage from here, so run it\n" +
			"with the executor's settings. A file that a damaged copy was written to is removed; of standard output trust\n" +
			"only what came with exit code 0.",
		Example: "  backupbus restore export bk_… | mariadb shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			var b struct {
				Copy     string           `json:"copy"`
				Copies   []copied         `json:"copies"`
				Checksum *events.Checksum `json:"checksum"`
				State    string           `json:"state"`
			}
			if err := o.client().call(cmd.Context(), http.MethodGet, "/backups/"+url.PathEscape(args[0]), nil, &b); err != nil {
				return err
			}
			if b.Checksum == nil {
				return &exit{exitConflict, fmt.Errorf("backup %s is %s and has no copy", args[0], b.State)}
			}
			i, err := l.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.Close()
			return writeTo(file, cmd.OutOrStdout(), func(w io.Writer) error {
				return i.Export(cmd.Context(), refOf(b.Copy, b.Copies), b.Checksum, database, w)
			})
		},
	}
	l.flags(c)
	c.Flags().StringVar(&file, "file", "", "new file to write to; absent: standard output")
	c.Flags().StringVar(&database, "database", "", "which database, of a copy that has several")
	return c
}

// refOf is where a backup lies.
func refOf(place string, copies []copied) events.ProviderRef {
	r := events.ProviderRef{BackupName: place}
	for _, c := range copies[min(1, len(copies)):] {
		if c.State == events.CopyStored {
			r.CopiedTo = append(r.CopiedTo, c.Storage)
		}
	}
	return r
}

// writeTo hands write a new file, which is whole afterwards or not there, or out.
func writeTo(file string, out io.Writer, write func(io.Writer) error) error {
	if file == "" {
		return write(out)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return &exit{exitUsage, err}
	}
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}
