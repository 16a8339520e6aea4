package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// backupbus runs the program as a person would, and shows what was typed.
func (d *demo) backupbus(ctx context.Context, out io.Writer, args ...string) error {
	fmt.Println("$ backupbus", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, d.program, args...)
	cmd.Env = append(os.Environ(), "BACKUPBUS_SERVER="+d.server, "BACKUPBUS_PROJECT=shop")
	cmd.Dir, cmd.Stdout, cmd.Stderr = d.dir, out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("backupbus %s: %w", args[0], err)
	}
	return nil
}

// process is the running `backupbus up`.
type process struct {
	cmd  *exec.Cmd
	done chan error
	end  error
}

func (d *demo) startUp(ctx context.Context) (*process, error) {
	log, err := os.Create(d.path("up.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own
	args := []string{"up", "--data", d.path("data"), "--config", d.path("settings.yaml"), "--listen", "127.0.0.1:0"}
	fmt.Println("$ backupbus up --data data --config settings.yaml --listen 127.0.0.1:0")
	cmd := exec.Command(d.program, args...)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan error, 1)}
	ready := make(chan string, 1)
	go func() {
		var line bytes.Buffer
		_, _ = io.Copy(&firstLine{&line, ready}, out)
		p.done <- cmd.Wait()
	}()
	select {
	case line := <-ready:
		fmt.Println(line)
		_, rest, _ := strings.Cut(line, " on ")
		d.server, _, _ = strings.Cut(rest, " ")
		return p, nil
	case err := <-p.done:
		return nil, fmt.Errorf("backupbus up ended: %w; see %s", err, d.path("up.log"))
	case <-ctx.Done():
	case <-time.After(time.Minute):
	}
	_ = cmd.Process.Kill()
	return nil, errors.New("backupbus up is not ready")
}

type firstLine struct {
	buf  *bytes.Buffer
	line chan<- string
}

func (f *firstLine) Write(p []byte) (int, error) {
	f.buf.Write(p)
	if line, _, ok := strings.Cut(f.buf.String(), "\n"); ok && f.line != nil {
		f.line <- line
		f.line = nil
	}
	return len(p), nil
}

// stop asks the process to end and waits until it has. Stopping twice is harmless.
func (p *process) stop() error {
	if p.cmd == nil {
		return p.end
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case p.end = <-p.done:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		p.end = errors.Join(errors.New("backupbus up did not stop in time"), <-p.done)
	}
	p.cmd = nil
	if p.end != nil {
		p.end = fmt.Errorf("backupbus up: %w", p.end)
	}
	return p.end
}

// backUp takes one backup with the program and one through the Cloud SQL door.
func (d *demo) backUp(ctx context.Context, db *shop) (first, second string, err error) {
	step("make the databases known")
	if err := d.backupbus(ctx, os.Stdout, "apply", "-f", "backupbus.yaml"); err != nil {
		return "", "", err
	}
	step("a backup, while %d transactions a second are written", db.rate())
	if err := d.backupbus(ctx, os.Stdout, "backup", "create", "orders", "--wait", "--description", "before migration"); err != nil {
		return "", "", err
	}
	step("another one, as Google's clients would ask for it")
	if err := d.throughCloudSQL(ctx); err != nil {
		return "", "", err
	}
	step("both, newest first")
	var list bytes.Buffer
	if err := d.backupbus(ctx, &list, "backup", "list", "--instance", "orders", "-o", "json"); err != nil {
		return "", "", err
	}
	var backups []struct{ BackupID, State, Proof, Description string }
	if err := json.Unmarshal(list.Bytes(), &backups); err != nil {
		return "", "", err
	}
	for _, b := range backups {
		fmt.Printf("%s  %s  %s  %s\n", b.BackupID, b.State, b.Proof, b.Description)
		if b.State != "SUCCESSFUL" || b.Proof != "CHECKED" {
			return "", "", fmt.Errorf("backup %s is %s", b.BackupID, b.State)
		}
	}
	if len(backups) != 2 {
		return "", "", fmt.Errorf("%d backups in the list, want 2", len(backups))
	}
	return backups[1].BackupID, backups[0].BackupID, nil
}

func (d *demo) throughCloudSQL(ctx context.Context) error {
	base := d.server + "/sql/v1beta4/projects/shop"
	answer, err := request(ctx, http.MethodPost, base+"/instances/orders/backupRuns", `{"description":"asked through the Cloud SQL door"}`)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", answer)
	var op struct {
		Name, Status string
		Error        json.RawMessage
	}
	if err := json.Unmarshal(answer, &op); err != nil {
		return err
	}
	for op.Status != "DONE" {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
		answer, err := get(ctx, base+"/operations/"+op.Name)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(answer, &op); err != nil {
			return err
		}
	}
	if len(op.Error) > 0 {
		return fmt.Errorf("the operation failed: %s", op.Error)
	}
	fmt.Println("operation", op.Name, "is DONE")
	return nil
}

// request uses curl, as a person would, and Go where there is none.
func request(ctx context.Context, method, url, body string) ([]byte, error) {
	if _, err := exec.LookPath("curl"); err != nil {
		fmt.Println("(curl is not installed: the demo sends the request itself)")
		return send(ctx, method, url, body)
	}
	fmt.Printf("$ curl -sS -X %s -d '%s' %s\n", method, body, url)
	return exec.CommandContext(ctx, "curl", "-sS", "--fail-with-body", "--max-time", "30", "-X", method, "-H", "Content-Type: application/json", "-d", body, url).Output()
}

func get(ctx context.Context, url string) ([]byte, error) { return send(ctx, http.MethodGet, url, "") }

func send(ctx context.Context, method, url, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return answer, err
}

// restore puts the first copy into a new file and holds it against what was true when it was taken.
func (d *demo) restore(ctx context.Context, db *shop, backup string) error {
	step("restore the first copy into a new file")
	if err := d.backupbus(ctx, os.Stdout, "restore", "create", backup, "--to", "orders-copy", "--wait"); err != nil {
		return err
	}
	return db.compare(ctx, d.path("restored.db"))
}
