package gaussdb_test

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
	"github.com/backupbus/backupbus/services/requester/door/gaussdb"
)

var update = flag.Bool("update", false, "rewrite golden files")

// The files in testdata/wire are conversations as bytes. A section `request` is sent as it stands; what follows it
// in `answer` is what came back, with names in place of what differs from run to run. `await STEP` waits for a step
// of the backup that was asked for last, `finish` and `fail` end its work.
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
	p := setup(t, gaussdb.Config{}, "orders")
	names := &names{host: strings.TrimPrefix(p.URL, "http://"), of: map[string]string{
		project: "{PROJECT}", other: "{OTHER}", gaussID(t, project, "orders"): "{INSTANCE}"}}
	for i, f := range a.Files {
		switch step, arg, _ := strings.Cut(f.Name, " "); step {
		case "request":
			a.Files[i+1].Data = names.hide(send(t, p, names.show(f.Data)))
		case "answer":
		case "await":
			p.Await(project, lastBackup(p), events.Step(arg))
		case "finish":
			p.Hand.Finish(lastBackup(p), nil)
		case "fail":
			p.Hand.Finish(lastBackup(p), &events.Failure{Code: events.PermissionDenied, Category: events.ByUser, Message: "the database may not be read"})
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
	{"BACKUP", `[0-9a-f]{32}br07`}, {"JOB", `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`},
	{"TIME", `20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]+\+0000`}, {"REQUEST", `\b[0-9a-f]{32}\b`}, {"MOMENT", `\b[0-9]{13}\b`},
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
	for value, name := range n.of {
		answer = bytes.ReplaceAll(answer, []byte(value), []byte(name))
	}
	return anyVolatile.ReplaceAllFunc(answer, func(v []byte) []byte {
		m := anyVolatile.FindSubmatch(v)
		kind := ""
		for i, v := range volatile {
			if len(m[i+1]) > 0 {
				kind = v.name
			}
		}
		if kind == "TIME" || kind == "REQUEST" || kind == "MOMENT" {
			return []byte("{" + kind + "}")
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
