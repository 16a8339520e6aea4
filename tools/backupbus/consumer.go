package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/backupbus/backupbus/events/bus"
)

// consumerFlags say where the bus is; the project is that of every command.
type consumerFlags struct {
	*options
	nats        string
	credentials string
}

func newEventsConsumer(o *options) *cobra.Command {
	f := &consumerFlags{options: o}
	c := &cobra.Command{Use: "consumer", Short: "Durable consumers of the events for plain NATS clients",
		Long: "Durable pull consumers of the events of a project, for programs with a plain NATS client.\n" +
			"The server keeps the position of each. It has to listen for them: backupbus up --nats 127.0.0.1:4222\n" +
			"On a NATS of your own the operator makes them: --nats-credentials keys/provision.nk"}
	c.PersistentFlags().StringVar(&f.nats, "nats", env("BACKUPBUS_NATS", "nats://127.0.0.1:4222"), "address of NATS (BACKUPBUS_NATS)")
	c.PersistentFlags().StringVar(&f.credentials, "nats-credentials", "", "file of mode 0600 with a NATS seed or credentials, as provision.nk of nats-config")
	c.AddCommand(newConsumerCreate(f), newConsumerList(f), newConsumerDelete(f))
	return c
}

// natsWait is how long a server may take to answer; one that is not there takes as long.
const natsWait = 5 * time.Second

// with runs fn with a connection to the bus.
func (f *consumerFlags) with(ctx context.Context, fn func(context.Context, *bus.Bus) error) error {
	ctx, cancel := context.WithTimeout(ctx, natsWait)
	defer cancel()
	conf := bus.Config{URL: f.nats, Client: "backupbus events consumer", CredentialsFile: f.credentials, Log: slog.New(slog.DiscardHandler)}
	if f.credentials != "" {
		conf.InboxPrefix = bus.InboxPrefix(bus.ProvisionUser)
	}
	b, err := bus.Connect(ctx, conf)
	if err == nil {
		defer b.Close()
		err = fn(ctx, b)
	}
	if errors.Is(err, bus.ErrUnavailable) {
		return errors.New("NATS does not answer: start backupbus up with --nats 127.0.0.1:4222, or name another address with --nats")
	}
	return err
}

func newConsumerCreate(f *consumerFlags) *cobra.Command {
	var instance, eventType, from string
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a consumer; the same again changes nothing", Args: cobra.ExactArgs(1),
		Example: "  backupbus events consumer create warehouse --project shop --type backup.succeeded --from beginning",
		RunE: func(cmd *cobra.Command, args []string) error {
			conf, err := consumerConfig(args[0], f.project, instance, eventType, from)
			if err != nil {
				return &exit{exitUsage, err}
			}
			var made bus.Consumer
			if err := f.with(cmd.Context(), func(ctx context.Context, b *bus.Bus) (err error) {
				made, err = b.CreateConsumer(ctx, conf)
				return err
			}); errors.Is(err, bus.ErrConsumerExists) {
				return &exit{exitConflict, err}
			} else if err != nil {
				return err
			}
			doc, err := json.Marshal(made)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), f.output, doc, func(w io.Writer) error { return recipe(w, made) })
		},
	}
	c.Flags().StringVar(&instance, "instance", "", "events of one instance")
	c.Flags().StringVar(&eventType, "type", "", "events of one type, as backup.failed, or of one entity, as backup.*")
	c.Flags().StringVar(&from, "from", "now", "now, beginning, a time (RFC 3339) or so long ago (10m)")
	return c
}

func consumerConfig(name, project, instance, eventType, from string) (bus.ConsumerConfig, error) {
	c := bus.ConsumerConfig{Name: name}
	if err := bus.CheckConsumerName(name); err != nil {
		return c, err
	}
	var err error
	if c.Filter, err = bus.ConsumerFilter(project, instance, eventType); err != nil {
		return c, err
	}
	switch from {
	case "now":
	case "beginning":
		c.Beginning = true
	default:
		c.Since, err = moment("from", from, time.Now())
	}
	return c, err
}

// recipe says what a program does with a consumer.
func recipe(w io.Writer, c bus.Consumer) error {
	_, err := fmt.Fprintf(w, "consumer\t%s\nstream\t%s\nfilter\t%s\nwaiting\t%d\n\n"+
		"try it\tnats consumer next %s %s --count 10 --ack\n"+
		"in a program\tbind to stream and consumer, pull, store the effect with the highest sequence per source, then ack\n"+
		"delivered twice\tif no ack comes in 30 s: drop an event whose sequence is not higher\n",
		c.Name, bus.EventStream, c.Filter, c.Waiting, bus.EventStream, c.Name)
	return err
}

func newConsumerList(f *consumerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the consumers of a project",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []bus.Consumer
			if err := f.with(cmd.Context(), func(ctx context.Context, b *bus.Bus) (err error) {
				all, err = b.Consumers(ctx, f.project)
				return err
			}); err != nil {
				return err
			}
			doc, err := json.Marshal(all)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), f.output, doc, func(w io.Writer) error {
				_, _ = fmt.Fprintln(w, "NAME\tFILTER\tWAITING\tNOT ACKNOWLEDGED\tCREATED")
				for _, c := range all {
					_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", c.Name, c.Filter, c.Waiting, c.AckPending, c.Created.Format(time.RFC3339))
				}
				return nil
			})
		},
	}
}

func newConsumerDelete(f *consumerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a consumer and its position", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := bus.CheckConsumerName(args[0]); err != nil {
				return &exit{exitUsage, err}
			}
			err := f.with(cmd.Context(), func(ctx context.Context, b *bus.Bus) error { return b.DeleteConsumer(ctx, args[0]) })
			if errors.Is(err, bus.ErrNoConsumer) {
				return &exit{exitConflict, err}
			}
			return err
		},
	}
}
