package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come, on a loaded machine.
const patience = 90 * time.Second

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "backupbus-e2e")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "backupbus")
	out, err := exec.Command("go", "build", "-o", path, "github.com/backupbus/backupbus/tools/backupbus").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// program is one `backupbus up` on a data folder that outlives it.
type program struct {
	t    *testing.T
	path string
	data string
	args []string
	addr string // host:port, the same after a restart
	cmd  *exec.Cmd
	log  *os.File
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, path: path, data: filepath.Join(t.TempDir(), "data"), args: args, addr: "127.0.0.1:0"}
	if p.log, err = os.Create(filepath.Join(t.TempDir(), "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			b, _ := os.ReadFile(p.log.Name())
			t.Logf("log of backupbus up:\n%s", b)
		}
		_ = p.log.Close()
	})
	p.up()
	return p
}

// up starts the process and waits until it is ready.
func (p *program) up() {
	p.t.Helper()
	p.cmd = exec.Command(p.path, append([]string{"up", "--data", p.data, "--listen", p.addr, "--take-over-after", "1s"}, p.args...)...)
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("backupbus up is not ready: %v", err)
	}
	_, rest, _ := strings.Cut(line, "http://")
	p.addr, _, _ = strings.Cut(rest, " ")
}

// kill ends the process as a power cut would, as far as the process is concerned.
func (p *program) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// run calls the program's client and returns what it printed and its exit code.
func (p *program) run(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env = append(os.Environ(), "BACKUPBUS_SERVER=http://"+p.addr, "BACKUPBUS_PROJECT=shop")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		p.t.Fatalf("backupbus %v does not end", args)
	}
	if err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is run for a command that has to succeed.
func (p *program) must(args ...string) string {
	p.t.Helper()
	out, errs, code := p.run(args...)
	if code != 0 {
		p.t.Fatalf("backupbus %v: exit %d\n%s%s", args, code, out, errs)
	}
	return out
}

// apply registers SQLite files under their names.
func (p *program) apply(files map[string]string) {
	p.t.Helper()
	doc := "project: shop\ninstances:\n"
	for name, file := range files {
		doc += "  - {name: " + name + ", provider: sqlite, file: " + file + "}\n"
	}
	conf := filepath.Join(p.t.TempDir(), "backupbus.yaml")
	if err := os.WriteFile(conf, []byte(doc), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.must("apply", "-f", conf)
}

type backup struct {
	BackupID, Instance, State, Proof, Copy string
	Attempt                                int
	Error                                  *struct{ Code, Message string }
}

func (b backup) ended() bool {
	return b.State == "SUCCESSFUL" || b.State == "FAILED" || b.State == "CANCELLED"
}

// get reads JSON from the API; ok is false while the server is away or refuses.
func get[T any](p *program, path string) (v T, ok bool) {
	resp, err := http.Get("http://" + p.addr + path)
	if err != nil {
		return v, false
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return v, err == nil && resp.StatusCode == 200 && json.Unmarshal(b, &v) == nil
}

// ask requests a backup with a key of its own, and says whether the request was accepted.
func (p *program) ask(instance, key string) (id string, accepted bool) {
	req, err := http.NewRequest(http.MethodPost, "http://"+p.addr+"/api/v1/projects/shop/backups", strings.NewReader(`{"instance":"`+instance+`"}`))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", false
	}
	defer func() { _ = resp.Body.Close() }()
	var r struct{ BackupID string }
	if json.NewDecoder(resp.Body).Decode(&r) != nil {
		return "", false
	}
	return r.BackupID, resp.StatusCode == http.StatusAccepted
}

// await polls until a backup has its outcome.
func (p *program) await(id string) backup {
	p.t.Helper()
	for end := time.Now().Add(patience); ; {
		b, ok := get[backup](p, "/api/v1/projects/shop/backups/"+id)
		if ok && b.ended() {
			return b
		}
		if time.Now().After(end) {
			p.t.Fatalf("backup %s has no outcome: %+v", id, b)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// eventually waits until ok, at most patience.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
