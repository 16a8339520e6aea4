package doortest

import (
	"bufio"
	"bytes"
	"cmp"
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

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite golden files")

func wireFile(name string) string { return filepath.Join("testdata", "wire", name+".txtar") }

// Conversation is one run of a file in testdata/wire: a section `request` is sent as it stands; what follows it in
// `answer` is what came back, with names in place of what differs from run to run.
type Conversation struct {
	URL      string            // of the door, no slash at the end
	Names    map[string]string // value → what stands for it in the file
	Volatile []Volatile        // what else differs from run to run
	// Step does what any other section asks for; false: there is no such one.
	Step func(t *testing.T, name, arg string, data []byte) bool
}

// Volatile is a form of values that differ from run to run. Each gets a number of its own, unless they are Alike.
type Volatile struct {
	Name, Form string
	Alike      bool
}

// Conversations runs every file in testdata/wire; -update rewrites them.
func Conversations(t *testing.T, begin func(t *testing.T) Conversation) {
	t.Helper()
	files, err := filepath.Glob(wireFile("*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			begin(t).run(t, file)
		})
	}
}

func (c Conversation) run(t *testing.T, file string) {
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	a, names := txtar.Parse(want), newNames(at.Host, c)
	for i, f := range a.Files {
		switch step, arg, _ := strings.Cut(f.Name, " "); {
		case step == "request":
			if i+1 == len(a.Files) || a.Files[i+1].Name != "answer" {
				t.Fatal("a request without an answer behind it")
			}
			a.Files[i+1].Data = names.hide(send(t, at.Host, names.show(f.Data)))
		case step == "answer", c.Step(t, step, arg, f.Data):
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
	if diff := gocmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("go test -update rewrites it:\n%s", diff)
	}
}

// send writes a request and returns the answer as it came, without its date.
func send(t *testing.T, host string, request []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head, body, _ := bytes.Cut(bytes.TrimSuffix(request, []byte("\n")), []byte("\n\n"))
	raw := strings.ReplaceAll(string(head), "\n", "\r\n") + "\r\nHost: " + host + "\r\nConnection: close\r\n"
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
	host  string
	fixed map[string]string
	// longest are the values of fixed, the longest first: one may be part of another.
	longest []string
	forms   []Volatile
	any     *regexp.Regexp
	of      map[string]string // value → name
	given   map[string]int    // how many of a form
}

func newNames(host string, c Conversation) *names {
	var forms []string
	for _, v := range c.Volatile {
		forms = append(forms, "("+v.Form+")")
	}
	n := &names{host: host, fixed: c.Names, forms: c.Volatile, of: map[string]string{}, given: map[string]int{}}
	n.longest = slices.SortedFunc(maps.Keys(c.Names), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	n.any = regexp.MustCompile(strings.Join(forms, "|"))
	return n
}

func (n *names) hide(answer []byte) []byte {
	answer = bytes.ReplaceAll(answer, []byte(n.host), []byte("HOST"))
	for _, value := range n.longest {
		answer = bytes.ReplaceAll(answer, []byte(value), []byte(n.fixed[value]))
	}
	return n.any.ReplaceAllFunc(answer, func(v []byte) []byte { return []byte(n.name(string(v))) })
}

func (n *names) name(value string) string {
	if name, known := n.of[value]; known {
		return name
	}
	form := n.forms[slices.IndexFunc(n.any.FindStringSubmatch(value)[1:], func(s string) bool { return s != "" })]
	if form.Alike {
		return "{" + form.Name + "}"
	}
	n.given[form.Name]++
	n.of[value] = fmt.Sprintf("{%s-%d}", form.Name, n.given[form.Name])
	return n.of[value]
}

func (n *names) show(request []byte) []byte {
	for _, of := range []map[string]string{n.fixed, n.of} {
		for value, name := range of {
			request = bytes.ReplaceAll(request, []byte(name), []byte(value))
		}
	}
	return request
}
