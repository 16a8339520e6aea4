package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/backupbus/backupbus/services/host"
)

// configuration is what apply reads: the databases of one project.
type configuration struct {
	Project   string     `yaml:"project"` // beats --project
	Instances []instance `yaml:"instances"`

	Subscriptions []hook `yaml:"subscriptions"`
}

type instance struct {
	Name           string            `yaml:"name" json:"-"`
	Provider       string            `yaml:"provider" json:"-"`
	Engine         string            `yaml:"engine" json:"engine,omitempty"`
	EngineVersion  string            `yaml:"engineVersion" json:"engineVersion,omitempty"`
	Region         string            `yaml:"region" json:"region,omitempty"`
	File           string            `yaml:"file" json:"file,omitempty"`
	Files          []string          `yaml:"files" json:"files,omitempty"`
	Address        string            `yaml:"address" json:"address,omitempty"`
	User           string            `yaml:"user" json:"user,omitempty"`
	TLS            *tlsSettings      `yaml:"tls" json:"tls,omitempty"`
	Method         string            `yaml:"method" json:"method,omitempty"`
	DataDir        string            `yaml:"dataDir" json:"dataDir,omitempty"`
	Storage        string            `yaml:"storage" json:"storage,omitempty"`
	CopyTo         []string          `yaml:"copyTo" json:"copyTo,omitempty"`
	EncryptTo      []string          `yaml:"encryptTo" json:"encryptTo,omitempty"`
	Databases      []string          `yaml:"databases" json:"databases,omitempty"`
	CredentialRef  string            `yaml:"credentialRef" json:"credentialRef,omitempty"`
	Hooks          *hookNames        `yaml:"hooks" json:"hooks,omitempty"`
	SuccessfulWhen string            `yaml:"successfulWhen" json:"successfulWhen,omitempty"`
	Labels         map[string]string `yaml:"labels" json:"labels,omitempty"`
	CloudSQL       *cloudsqlFacts    `yaml:"cloudsql" json:"cloudsql,omitempty"`

	Schedules []plan `yaml:"schedules" json:"-"`
}

type cloudsqlFacts struct {
	InstanceType string `yaml:"instanceType" json:"instanceType,omitempty"`
	State        string `yaml:"state" json:"state,omitempty"`
}

type tlsSettings struct {
	Mode   string `yaml:"mode" json:"mode"`
	CAFile string `yaml:"caFile" json:"caFile,omitempty"`
}

type hookNames struct {
	Pre  string `yaml:"pre" json:"pre,omitempty"`
	Post string `yaml:"post" json:"post,omitempty"`
}

func newApply(o *options) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "apply -f FILE", Short: "Make the databases in a file and their schedules known, or change what is known of them",
		Long: "Makes the databases in a file and their schedules known, or changes what is known of them.\n" +
			"What the file does not name is left alone: an instance or a schedule that is gone from the file goes on\n" +
			"(`backupbus schedule delete` takes one out), and a schedule stays paused, or not, where the file does not say.",
		Example: "  backupbus apply -f backupbus.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return &exit{exitUsage, errors.New("name the file with -f, or - for standard input")}
			}
			conf, err := readConfiguration(file, cmd.InOrStdin())
			if err != nil {
				return &exit{exitUsage, err}
			}
			if conf.Project != "" {
				o.project = conf.Project
			}
			return apply(cmd, o, conf)
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "YAML file, - for standard input")
	return c
}

func apply(cmd *cobra.Command, o *options, conf configuration) error {
	var all []json.RawMessage
	var failed error
	for _, i := range conf.Instances {
		var answer json.RawMessage
		body := map[string]any{"instance": i.Name, "provider": i.Provider, "config": i}
		if err := o.client().call(cmd.Context(), http.MethodPost, "/instances", body, &answer); err != nil {
			failed = errors.Join(failed, fmt.Errorf("instance %s: %w", i.Name, err))
			continue
		}
		all = append(all, answer)
		for _, p := range i.Schedules {
			made, err := p.make(cmd, o, i.Name)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("instance %s: schedule %s: %w", i.Name, p.Name, err))
				continue
			}
			all = append(all, made)
		}
	}
	outcomes := map[string]string{} // of subscriptions, by their ids
	for _, h := range conf.Subscriptions {
		made, outcome, err := h.make(cmd, o)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("subscription %s: %w", h.Name, err))
			continue
		}
		s, err := readSubscription(made)
		if err != nil {
			return err
		}
		outcomes[s.ID] = outcome
		all = append(all, made)
	}
	list, err := json.Marshal(all)
	if err != nil {
		return err
	}
	err = show(cmd.OutOrStdout(), o.output, list, func(w io.Writer) error {
		for _, a := range all {
			if s, err := readSubscription(a); err == nil && outcomes[s.ID] != "" {
				_, _ = fmt.Fprintf(w, "subscription %s\t%s\t%s\n", dash(s.Config.Name), dash(s.Sink), outcomes[s.ID])
				if s.SigningSecret != "" {
					_, _ = fmt.Fprintf(w, "\tsigning secret\t%s\n", s.SigningSecret)
				}
				continue
			}
			var i struct {
				Instance, Provider, Outcome, Name string
				Config                            scheduleConfig
			}
			if err := json.Unmarshal(a, &i); err != nil {
				return err
			}
			if i.Name != "" {
				_, _ = fmt.Fprintf(w, "schedule %s/%s\t%s\t%s\n", i.Instance, dash(i.Name), dash(i.Config.due()), i.Outcome)
				continue
			}
			_, _ = fmt.Fprintf(w, "instance %s\t%s\t%s\n", i.Instance, i.Provider, i.Outcome)
		}
		return nil
	})
	return errors.Join(failed, err)
}

// readConfiguration is strict: an unknown key or a wrong type is an error with its line, and so is what
// no server could accept.
func readConfiguration(path string, stdin io.Reader) (configuration, error) {
	var c configuration
	var err error
	if path == "-" {
		var doc []byte
		const most = 1 << 20
		if doc, err = io.ReadAll(io.LimitReader(stdin, most+1)); err == nil {
			if len(doc) > most {
				return c, fmt.Errorf("standard input is larger than %d bytes", most)
			}
			err = host.Decode("standard input", doc, &c)
		}
	} else {
		err = host.DecodeFile(path, &c)
	}
	if err != nil {
		return c, err
	}
	if len(c.Instances) == 0 && len(c.Subscriptions) == 0 {
		return c, fmt.Errorf("%s: no instances: list at least one under instances", path)
	}
	err = checkHooks(path, c.Subscriptions)
	seen := map[string]bool{}
	for n, i := range c.Instances {
		switch {
		case i.Name == "":
			err = errors.Join(err, fmt.Errorf("%s: instances[%d]: name is missing", path, n))
		case i.Provider == "":
			err = errors.Join(err, fmt.Errorf("%s: instances[%d] (%s): provider is missing, as sqlite", path, n, i.Name))
		case seen[i.Name]:
			err = errors.Join(err, fmt.Errorf("%s: instances[%d]: the name %s is there twice", path, n, i.Name))
		}
		seen[i.Name] = true
		err = errors.Join(err, checkPlans(fmt.Sprintf("%s: instances[%d] (%s)", path, n, i.Name), i.Schedules))
	}
	return c, err
}
