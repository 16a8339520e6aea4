package cloudsql_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

var update = flag.Bool("update", false, "rewrite golden files")

// The files in testdata/wire are conversations as bytes. A section `request` is sent as it stands; what follows it
// in `answer` is what came back, with names in place of what differs from run to run. `await STEP` waits for a step
// of the backup that was asked for last, `finish` and `fail` end its work. `instance NAME` makes one known with what
// its section says of it in Cloud SQL's words.
func TestWire(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/wire/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			conversation(t, file)
		})
	}
}

func conversation(t *testing.T, file string) {
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a := txtar.Parse(want)
	p := setup(t, "orders")
	names := &names{host: strings.TrimPrefix(p.URL, "http://"), of: map[string]string{}}
	for i, f := range a.Files {
		switch step, arg, _ := strings.Cut(f.Name, " "); step {
		case "request":
			a.Files[i+1].Data = names.hide(send(t, p, names.show(f.Data)))
		case "instance":
			facts(t, p, arg, "mysql", "us-central1", strings.TrimSpace(string(f.Data)))
		case "answer":
		case "await":
			p.Await("acme", backupID(t, p), events.Step(arg))
		case "finish":
			p.Hand.Finish(backupID(t, p), nil)
		case "fail":
			p.Hand.Finish(backupID(t, p), &events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the database may not be read"})
		default:
			t.Fatalf("section %q is not known", f.Name)
		}
	}
	got := txtar.Format(a)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("go test -update rewrites it:\n%s", diff)
	}
}

// send writes a request and returns the answer as it came, without its date.
func send(t *testing.T, p *pipelinetest.Pipeline, request []byte) []byte {
	t.Helper()
	at, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head, body, _ := bytes.Cut(bytes.TrimSuffix(request, []byte("\n")), []byte("\n\n"))
	raw := strings.ReplaceAll(string(head), "\n", "\r\n") + "\r\nHost: " + at.Host + "\r\nConnection: close\r\n"
	if len(body) > 0 {
		raw += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	if _, err := io.WriteString(conn, raw+"\r\n"+string(body)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fmt.Fprintln(&out, resp.Status)
	for _, h := range slices.Sorted(maps.Keys(resp.Header)) {
		if h != "Date" && h != "Content-Length" && h != "Connection" {
			fmt.Fprintf(&out, "%s: %s\n", h, strings.Join(resp.Header[h], ", "))
		}
	}
	return append(append(out.Bytes(), '\n'), answer...)
}

// names are what stands in the files for what differs from run to run.
type names struct {
	host string
	of   map[string]string // value → name
}

var volatile = []struct{ name, form string }{
	{"BACKUP", `bk_[a-z2-7]{26}`}, {"SCHEDULE", `sc_[a-z2-7]{26}`}, {"OPERATION", `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`},
	{"TIME", `20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`}, {"RUN", `\b[0-9]{13}\b`}, {"TOKEN", `eyJ[A-Za-z0-9_-]{20,}`},
}

var anyVolatile = func() *regexp.Regexp {
	var forms []string
	for _, v := range volatile {
		forms = append(forms, "("+v.form+")")
	}
	return regexp.MustCompile(strings.Join(forms, "|"))
}()

func (n *names) hide(answer []byte) []byte {
	answer = bytes.ReplaceAll(answer, []byte(n.host), []byte("HOST"))
	return anyVolatile.ReplaceAllFunc(answer, func(v []byte) []byte {
		m := anyVolatile.FindSubmatch(v)
		kind := ""
		for i, v := range volatile {
			if len(m[i+1]) > 0 {
				kind = v.name
			}
		}
		if kind == "TIME" {
			return []byte("{TIME}")
		}
		name, known := n.of[string(v)]
		if !known {
			k := 1
			for _, other := range n.of {
				if strings.HasPrefix(other, "{"+kind+"-") {
					k++
				}
			}
			name = fmt.Sprintf("{%s-%d}", kind, k)
			n.of[string(v)] = name
		}
		return []byte(name)
	})
}

func (n *names) show(request []byte) []byte {
	for value, name := range n.of {
		request = bytes.ReplaceAll(request, []byte(name), []byte(value))
	}
	return request
}
