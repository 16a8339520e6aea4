// Command backupbus is the program that people run: the single process (up), and the client of its API.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/backupbus/backupbus/services/host"
	"github.com/backupbus/backupbus/services/requester"
	"github.com/backupbus/backupbus/services/secret"
	"github.com/backupbus/backupbus/tools/backupbus/up"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitTimeout  = 3
	exitSkipped  = 4
	exitConflict = 5 // not found, or not now
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var silent *exit
	if !errors.As(err, &silent) || silent.err != nil {
		fmt.Fprintln(os.Stderr, "backupbus:", err)
	}
	return codeOf(err)
}

// exit is an error that names its exit code. Without err nothing more is printed.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

func codeOf(err error) int {
	var e *exit
	var usage *up.UsageError
	var api *apiError
	switch {
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &api):
		return api.code()
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	}
	return exitFailed
}

// options are the flags of every command that talks to a server.
type options struct {
	server  string
	project string
	output  string

	tokenRef string
}

func (o *options) client() *client { return newClient(o.server, o.project, o.token) }

// token follows the reference to the token, none if there is none: the token itself is in no argument and no history of
// a shell.
func (o *options) token() (secret.Value, error) {
	if o.tokenRef == "" {
		return secret.Value{}, nil
	}
	err := secret.Check(o.tokenRef)
	var text string
	if err == nil {
		text, err = secret.Read(o.tokenRef, os.LookupEnv)
	}
	if err == nil && text == "" {
		err = errors.New("leads to nothing: put the token there")
	}
	if err != nil {
		return secret.Value{}, &exit{exitUsage, fmt.Errorf("--token-ref %w", err)}
	}
	return secret.Of(text), nil
}

func newRoot() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:           "backupbus",
		Short:         "Backups of databases in many places, as one stream of events",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return validOutput(o.output)
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&o.server, "server", env("BACKUPBUS_SERVER", "http://127.0.0.1:8080"), "address of the API (BACKUPBUS_SERVER)")
	f.StringVarP(&o.project, "project", "p", env("BACKUPBUS_PROJECT", "default"), "project, the tenant (BACKUPBUS_PROJECT)")
	f.StringVar(&o.tokenRef, "token-ref", env("BACKUPBUS_TOKEN_REF", ""), "where the token for the API is, as file:/path or env:NAME (BACKUPBUS_TOKEN_REF)")
	f.StringVarP(&o.output, "output", "o", "table", "table, json or yaml")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exit{exitUsage, err} })
	root.AddCommand(newUp(), newApply(o), newInstance(o), newDoctor(o), newBackup(o), newRestore(o), newSchedule(o), newSubscription(o), newRetention(o), newEvents(o), newDeadLetter(o), newProvision(), newNATSConfig(), newPermissions(), newVersion())
	wrapArgs(root)
	return root
}

// wrapArgs makes a wrong number of arguments, or an unknown command, a mistake in usage.
func wrapArgs(c *cobra.Command) {
	check := c.Args
	if check == nil {
		check = cobra.NoArgs
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &exit{exitUsage, err}
		}
		return nil
	}
	if c.HasSubCommands() && c.RunE == nil {
		c.RunE = func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Usage()
			return &exit{exitUsage, errors.New("name a command")}
		}
	}
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}

func newPermissions() *cobra.Command {
	return &cobra.Command{Use: "permissions", Short: "List what the settings' access can grant, by the names of each door", RunE: func(cmd *cobra.Command, _ []string) error {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(requester.Permissions(), "\n"))
		return err
	}}
}

func newVersion() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", RunE: func(cmd *cobra.Command, _ []string) error {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "backupbus", host.Version())
		return err
	}}
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
