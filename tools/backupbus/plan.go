package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

// plan is a schedule as a person writes it: in a file under `schedules`, or with flags.
type plan struct {
	Name         string `yaml:"name"`
	Database     string `yaml:"database"`
	Cron         string `yaml:"cron"`
	Every        span   `yaml:"every"`
	TimeZone     string `yaml:"timeZone"`
	Window       span   `yaml:"window"`
	Spread       span   `yaml:"spread"`
	OverdueAfter span   `yaml:"overdueAfter"`
	Missed       string `yaml:"missed"`
	MaxAttempts  int    `yaml:"maxAttempts"`
	Retention    keeps  `yaml:"retention"`
	Paused       *bool  `yaml:"paused"` // nil: as it is
}

type keeps struct {
	KeepLast int  `yaml:"keepLast"`
	MaxAge   span `yaml:"maxAge"`
	Daily    int  `yaml:"daily"`
	Weekly   int  `yaml:"weekly"`
	Monthly  int  `yaml:"monthly"`
}

// scheduleConfig is what the API has of it.
type scheduleConfig struct {
	Cron                string     `json:"cron,omitempty"`
	EverySeconds        int64      `json:"everySeconds,omitempty"`
	TimeZone            string     `json:"timeZone,omitempty"`
	WindowSeconds       int64      `json:"windowSeconds,omitempty"`
	SpreadSeconds       int64      `json:"spreadSeconds,omitempty"`
	OverdueAfterSeconds int64      `json:"overdueAfterSeconds,omitempty"`
	Missed              string     `json:"missed,omitempty"`
	Retention           *retention `json:"retention,omitempty"`
	MaxAttempts         int        `json:"maxAttempts,omitempty"`
	Paused              *bool      `json:"paused,omitempty"`
}

type retention struct {
	KeepLast      int   `json:"keepLast,omitempty"`
	MaxAgeSeconds int64 `json:"maxAgeSeconds,omitempty"`
	Daily         int   `json:"daily,omitempty"`
	Weekly        int   `json:"weekly,omitempty"`
	Monthly       int   `json:"monthly,omitempty"`
}

func (p plan) config() scheduleConfig {
	c := scheduleConfig{
		Cron: p.Cron, EverySeconds: int64(p.Every), TimeZone: p.TimeZone, WindowSeconds: int64(p.Window), SpreadSeconds: int64(p.Spread),
		OverdueAfterSeconds: int64(p.OverdueAfter), Missed: strings.ToUpper(p.Missed), MaxAttempts: p.MaxAttempts, Paused: p.Paused,
	}
	if k := p.Retention; k != (keeps{}) {
		c.Retention = &retention{KeepLast: k.KeepLast, MaxAgeSeconds: int64(k.MaxAge), Daily: k.Daily, Weekly: k.Weekly, Monthly: k.Monthly}
	}
	return c
}

// make sends the plan of an instance's schedule.
func (p plan) make(cmd *cobra.Command, o *options, instance string) (json.RawMessage, error) {
	body := map[string]any{"instance": instance, "name": p.Name, "config": p.config()}
	if p.Database != "" {
		body["database"] = p.Database
	}
	var answer json.RawMessage
	err := o.client().call(cmd.Context(), http.MethodPost, "/schedules", body, &answer)
	return answer, err
}

// checkPlans finds what no server could accept in the schedules of one instance.
func checkPlans(where string, plans []plan) error {
	var err error
	seen := map[[2]string]bool{}
	for n, p := range plans {
		key := [2]string{p.Database, p.Name}
		switch {
		case p.Name == "":
			err = errors.Join(err, fmt.Errorf("%s: schedules[%d]: name is missing", where, n))
		case seen[key]:
			err = errors.Join(err, fmt.Errorf("%s: schedules[%d]: the name %s is there twice", where, n, p.Name))
		}
		seen[key] = true
	}
	return err
}

func newScheduleCreate(o *options) *cobra.Command {
	var p plan
	var paused bool
	c := &cobra.Command{
		Use: "create INSTANCE", Short: "Make a schedule, or change the one of that name", Args: cobra.ExactArgs(1),
		Long: "Makes a schedule, or gives the one of that name just the configuration that the flags say.\n" +
			"What is paused stays so, unless --paused=false.",
		Example: "  backupbus schedule create orders --name nightly --cron '30 2 * * *' --zone Europe/Berlin --window 4h --keep-last 7\n" +
			"  backupbus schedule create orders --name often --every 6h --max-age 30d",
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.Name == "" {
				return &exit{exitUsage, errors.New("name the schedule with --name")}
			}
			if cmd.Flags().Changed("paused") {
				p.Paused = &paused
			}
			answer, err := p.make(cmd, o, args[0])
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), o.output, answer, func(w io.Writer) error { return describeSchedule(w, answer) })
		},
	}
	f := c.Flags()
	f.StringVar(&p.Name, "name", "", "name of the schedule, one of its own in the instance")
	f.StringVar(&p.Database, "database", "", "one database of the instance; without it the whole instance")
	f.StringVar(&p.Cron, "cron", "", "minute hour day month weekday, or @hourly, @daily, @weekly, @monthly, @yearly")
	f.Var(&p.Every, "every", "instead of --cron: a backup every so often, as 6h")
	f.StringVar(&p.TimeZone, "zone", "", "time zone of --cron and of days kept, as Europe/Berlin (default UTC)")
	f.Var(&p.Window, "window", "how long after its due time a backup may start, as 4h")
	f.Var(&p.Spread, "spread", "begin up to so much later, so that not all begin at once")
	f.Var(&p.OverdueAfter, "overdue-after", "a backup that has not begun, or ended, by then is overdue (default the window, or 1h)")
	f.StringVar(&p.Missed, "missed", "", "make up for due times that passed while nobody was there: once, skip or all (default once)")
	f.IntVar(&p.MaxAttempts, "max-attempts", 0, "tries of one backup (default as the server is set)")
	f.IntVar(&p.Retention.KeepLast, "keep-last", 0, "keep the newest so many")
	f.Var(&p.Retention.MaxAge, "max-age", "delete what is older, as 30d; the newest proven backup stays")
	f.IntVar(&p.Retention.Daily, "daily", 0, "keep the newest of each of so many days")
	f.IntVar(&p.Retention.Weekly, "weekly", 0, "keep the newest of each of so many weeks")
	f.IntVar(&p.Retention.Monthly, "monthly", 0, "keep the newest of each of so many months")
	f.BoolVar(&paused, "paused", false, "nothing is due until it is resumed")
	return c
}
