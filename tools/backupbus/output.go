package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"go.yaml.in/yaml/v3"
)

func validOutput(format string) error {
	switch format {
	case "table", "json", "yaml":
		return nil
	}
	return &exit{exitUsage, fmt.Errorf("--output %q is none of table, json, yaml", format)}
}

// show prints what the server answered: as it came (json), the same as YAML, or as a table.
func show(w io.Writer, format string, answer json.RawMessage, table func(w io.Writer) error) error {
	switch format {
	case "json":
		var v any
		if err := json.Unmarshal(answer, &v); err != nil {
			return err
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		var v any
		if err := yaml.Unmarshal(answer, &v); err != nil { // JSON is YAML; numbers stay what they are
			return err
		}
		enc := yaml.NewEncoder(w)
		enc.SetIndent(2)
		return enc.Encode(v)
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	if err := table(tw); err != nil {
		return err
	}
	return tw.Flush()
}

func size(n *int64) string {
	if n == nil {
		return "-"
	}
	v, units := float64(*n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && v >= 1024 {
		v, units = v/1024, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", *n)
	}
	return fmt.Sprintf("%.1f %s", v, units[0])
}

// dash is text in a table: a dash for none, and no character that could move the cursor or forge a row.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
