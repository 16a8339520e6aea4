package e2e

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// kill -9 of the single process at ten random points during ten backups loses no accepted request and
// leaves no backup without an outcome.
func TestKill_TenTimesLosesNothing(t *testing.T) {
	t.Parallel()
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(settings, []byte("requester: {maxAttempts: 20}\nprovider-executors: {concurrency: 16, backoff: [50ms]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--config", settings)
	file := newDatabase(t, 20)
	instances := map[string]string{}
	for n := range 10 {
		instances[fmt.Sprintf("db%d", n)] = file
	}
	p.apply(instances)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	accepted := map[string]string{} // instance → backup
	interrupted := 0
	for n := range 10 {
		name := fmt.Sprintf("db%d", n)
		killed := make(chan struct{})
		time.AfterFunc(time.Duration(random.IntN(400))*time.Millisecond, func() { p.kill(); close(killed) })
		id, ok := p.ask(name, name) // the answer may be lost with the process
		if b, there := get[backup](p, "/api/v1/projects/shop/backups/"+id); ok && there && !b.ended() {
			interrupted++ // accepted, and not at its end when it was last seen alive
		}
		<-killed
		p.up()
		if again, ok2 := p.ask(name, name); !ok2 {
			t.Fatalf("%s: the repeat of the request is refused", name)
		} else if ok && again != id {
			t.Fatalf("%s: accepted as %s, after the restart %s", name, id, again)
		} else {
			accepted[name] = again
		}
	}
	t.Logf("%d of 10 kills came while the backup was under way", interrupted)
	objects := map[string]bool{}
	for name, id := range accepted {
		b := p.await(id)
		if b.State != "SUCCESSFUL" || b.Proof != "CHECKED" {
			t.Errorf("%s: %+v", name, b)
		}
		objects[strings.TrimPrefix(b.Copy, "default:")] = true
	}
	list, ok := get[struct{ Backups []backup }](p, "/api/v1/projects/shop/backups")
	if !ok || len(list.Backups) != 10 {
		t.Errorf("%d backups in the list", len(list.Backups))
	}
	if diff := cmp.Diff(objects, manifests(t, p)); diff != "" {
		t.Errorf("copies in the storage:\n%s", diff)
	}
	noLeftovers(t, p)
	if id, ok := p.ask("db0", "next"); !ok || p.await(id).State != "SUCCESSFUL" {
		t.Error("the next backup is blocked")
	}
}

// manifests are the prefixes of all whole copies; anything else in the storage is half a copy.
func manifests(t *testing.T, p *program) map[string]bool {
	t.Helper()
	root := filepath.Join(p.data, "backups")
	whole := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), "manifest.json")); err != nil {
			t.Errorf("%s lies there without a manifest", path)
		}
		whole[filepath.ToSlash(rel)+"/"] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

func noLeftovers(t *testing.T, p *program) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(p.data, "scratch", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in scratch: %v, %v", left, err)
	}
}

func TestStop_InTheMiddleOfABackupEndsCleanly(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.apply(map[string]string{"db": newDatabase(t, 100)})
	id, ok := p.ask("db", "k")
	if !ok {
		t.Fatal("not accepted")
	}
	eventually(t, "the copy is being made", func() bool {
		b, ok := get[backup](p, "/api/v1/projects/shop/backups/"+id)
		return ok && b.State == "RUNNING"
	})
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
	p.cmd = nil
	p.up()
	if b := p.await(id); b.State != "SUCCESSFUL" {
		t.Errorf("%+v", b)
	}
	manifests(t, p)
	noLeftovers(t, p)
}

func TestUp_RefusesASecondProcessOnItsData(t *testing.T) {
	t.Parallel()
	p := start(t)
	_, errs, code := p.run("up", "--data", p.data, "--listen", "127.0.0.1:0")
	if code != 1 || !strings.Contains(errs, "in use by another backupbus") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if resp, err := http.Get("http://" + p.addr + "/readyz"); err != nil || resp.StatusCode != 200 {
		t.Errorf("the first one: %v, %v", resp, err)
	}
}

func TestUp_RefusesAnAddressThatOthersReach(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, path: path, addr: "127.0.0.1:1"}
	_, errs, code := p.run("up", "--data", t.TempDir(), "--listen", "0.0.0.0:0")
	if code != 2 || !strings.Contains(errs, "only a loopback address") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
