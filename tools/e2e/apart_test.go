package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events/bus"
	"github.com/backupbus/backupbus/events/bustest"
	"github.com/backupbus/backupbus/services/notifier/subscription"
	"github.com/backupbus/backupbus/services/status-tracker/view/viewtest"
)

var services = sync.OnceValues(func() (string, error) {
	path, err := binary()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(path)
	for _, s := range []string{"requester", "provider-executors", "status-tracker", "notifier"} {
		pkg := "github.com/backupbus/backupbus/services/" + s + "/cmd/" + s
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, s), pkg).CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", s, err, out)
		}
	}
	return dir, nil
})

// apart is the four services as processes of their own, each with its rights on NATS, over a real Redis.
type apart struct {
	*program
	nats     *bustest.Server
	settings string
	dir      string
	cmds     map[string]*exec.Cmd
}

// startApart starts them; webhooks may go to those ports of this machine.
func startApart(t *testing.T, ports ...int) *apart {
	t.Helper()
	redis := viewtest.Redis(t)
	dir, err := services()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	a := &apart{dir: dir, cmds: map[string]*exec.Cmd{}, settings: filepath.Join(data, "settings.yaml"),
		program: &program{t: t, path: filepath.Join(dir, "backupbus"), data: data, addr: freeAddress(t)}}
	if a.log, err = os.Create(filepath.Join(data, "log")); err != nil {
		t.Fatal(err)
	}
	a.guard()
	text := strings.NewReplacer("NATS", a.nats.URL(), "SOCKET", redis.Socket, "ADDR", a.addr, "DATA", data,
		"NOTIFIER", freeAddress(t), "PORTS", strings.Join(strings.Fields(fmt.Sprint(ports)), ", ")).Replace(`
bus: {url: "NATS", credentialsFile: DATA/keys}
view: {redisURL: "unix://SOCKET"}
requester: {listen: "ADDR", notifier: "http://NOTIFIER"}
provider-executors:
  storages: {default: "file://DATA/backups"}
  scratch: DATA/scratch
  backoff: [10ms]
notifier:
  listen: "NOTIFIER"
  keyRef: file:DATA/notifier.key
  allowCidrs: [127.0.0.1/32]
  allowedPorts: PORTS
`)
	if err := os.WriteFile(filepath.Join(data, "notifier.key"), []byte(subscription.NewSealKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a.must("provision", "--nats", a.nats.URL(), "--take-over-after", "1s", "--nats-credentials", a.nats.Key(bus.ProvisionUser))
	t.Cleanup(func() {
		for _, text := range a.nats.Refused() {
			t.Errorf("a service lacks a right, or asks for too much: %s", text)
		}
		for name := range a.cmds {
			a.killService(name)
		}
		if t.Failed() {
			b, _ := os.ReadFile(a.log.Name())
			t.Logf("log of the services:\n%s", b)
		}
		_ = a.log.Close()
	})
	for _, s := range []string{"status-tracker", "provider-executors", "notifier", "requester"} {
		a.startService(s)
	}
	for end := time.Now().Add(patience); ; {
		if c, err := net.Dial("tcp", a.addr); err == nil {
			_ = c.Close()
			return a
		}
		if time.Now().After(end) {
			t.Fatal("the requester does not serve")
		}
		<-time.After(20 * time.Millisecond)
	}
}

// guard starts NATS as an operator does, with the configuration that the program prints.
func (a *apart) guard() {
	a.t.Helper()
	keys := filepath.Join(a.data, "keys")
	config := filepath.Join(keys, "rights.conf")
	rights := a.must("nats-config", "--keys", keys, "--outsider", "shop=warehouse", "--outsider", "other")
	if err := os.WriteFile(config, []byte(rights), 0o600); err != nil {
		a.t.Fatal(err)
	}
	a.nats = bustest.GuardedBy(a.t, config)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func (a *apart) startService(name string) {
	a.t.Helper()
	a.startWith(name, name, a.settings)
}

// startWith starts a service under a name of its own.
func (a *apart) startWith(name, service, settings string) {
	a.t.Helper()
	cmd := exec.Command(filepath.Join(a.dir, service), "--config", settings)
	cmd.Stderr = a.log
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.cmds[name] = cmd
}

func (a *apart) killService(name string) {
	if cmd := a.cmds[name]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		delete(a.cmds, name)
	}
}

// Each service may die and come back while requests go on.
func TestApart_EveryServiceRestarts(t *testing.T) {
	t.Parallel()
	a := startApart(t)
	a.apply(map[string]string{"db": newDatabase(t, 1)})
	for _, s := range []string{"requester", "status-tracker", "notifier", "provider-executors"} {
		a.killService(s)
		a.startService(s)
		var id string
		for end := time.Now().Add(patience); id == ""; {
			if time.Now().After(end) {
				t.Fatalf("after %s was killed no request is accepted", s)
			}
			if got, ok := a.ask("db", s); ok {
				id = got
			}
		}
		if b := a.await(id); b.State != "SUCCESSFUL" {
			t.Errorf("after %s was killed: %+v", s, b)
		}
	}
	if resp, err := http.Get("http://" + a.addr + "/livez"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("livez: %v %v", resp, err)
	}
}
