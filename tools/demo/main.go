// Command demo shows backupbus at work: it makes a database that is written to all the time, backs it up
// through two doors, receives the signed webhooks, restores the copy and compares. Everything runs on this
// machine, under one folder, and is stopped at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	program := flag.String("backupbus", "bin/backupbus", "the program to show")
	dir := flag.String("dir", ".demo", "folder for everything that the demo makes; emptied first")
	megabytes := flag.Int("megabytes", 200, "size of the database")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := run(ctx, *program, *dir, *megabytes); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program, dir string, megabytes int) (err error) {
	start := time.Now()
	d, err := prepare(program, dir)
	if err != nil {
		return err
	}
	step("a SQLite database of about %d MB, with a writer that keeps writing", megabytes)
	db, err := createShop(ctx, d.path("orders.db"), megabytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	db.startWriter()

	hook, err := receive(d.secret)
	if err != nil {
		return err
	}
	defer hook.close()
	if err := d.writeFiles(hook.url); err != nil {
		return err
	}
	step("backupbus up: NATS, view and all four services in one process")
	up, err := d.startUp(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, up.stop()) }()

	first, second, err := d.backUp(ctx, db)
	if err != nil {
		return err
	}
	if err := d.restore(ctx, db, first); err != nil {
		return err
	}
	step("what happened, from the log")
	if err := d.backupbus(ctx, os.Stdout, "events", "tail", "--since", "10m", "--instance", "orders", "-n", "10"); err != nil {
		return err
	}
	step("what the webhook receiver was told, each signature verified")
	if err := hook.await(ctx, first+"-succeeded-1", second+"-succeeded-1"); err != nil {
		return err
	}
	hook.print(os.Stdout)
	step("stop everything")
	if err := up.stop(); err != nil {
		return err
	}
	d.tell(start)
	return nil
}

// demo is the folder and the program.
type demo struct {
	program, dir string
	server       string
	secret       string
}

func prepare(program, dir string) (*demo, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%w: make build first", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(abs); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, err
	}
	return &demo{program: program, dir: abs, secret: newSecret()}, nil
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) writeFiles(hook string) error {
	files := map[string]string{
		"webhook.secret": d.secret + "\n",
		"settings.yaml": `notifier:
  allowCidrs: ["127.0.0.1/32"]
  allowedPorts: [` + hook[strings.LastIndexByte(hook, ':')+1:strings.LastIndexByte(hook, '/')] + `]
  subscriptions:
    - name: demo
      project: shop
      sink: ` + hook + `
      filters:
        - prefix: {type: dev.backupbus.backup.}
      secretRef: file:` + d.path("webhook.secret") + "\n",
		"backupbus.yaml": `project: shop
instances:
  - name: orders
    provider: sqlite
    file: ` + d.path("orders.db") + `
    successfulWhen: CHECKED
  - name: orders-copy
    provider: sqlite
    file: ` + d.path("restored.db") + "\n",
	}
	for name, text := range files {
		if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) tell(start time.Time) {
	fmt.Printf("\nAll good after %s. Look at:\n", time.Since(start).Round(time.Second))
	for _, row := range [][2]string{
		{"orders.db", "the database"}, {"restored.db", "what came back"}, {"data/backups", "the copies, a manifest beside each"},
		{"data/nats", "the log of events"}, {"backupbus.yaml", "the databases, as applied"}, {"up.log", "what the services logged"},
	} {
		fmt.Printf("  %-44s %s\n", filepath.Join(filepath.Base(d.dir), row[0]), row[1])
	}
}

func step(format string, a ...any) { fmt.Printf("\n# "+format+"\n", a...) }
