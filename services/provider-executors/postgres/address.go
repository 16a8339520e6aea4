package postgres

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/tool"
	"github.com/backupbus/backupbus/services/secret"
)

// server is how one server is reached, for this process and for the tools alike.
type server struct {
	host    string // or the folder of the socket
	port    uint16
	user    string
	mode    events.TLSMode
	caFile  string
	secret  secret.Value
	timeout time.Duration
}

var (
	socketFile = regexp.MustCompile(`^\.s\.PGSQL\.([0-9]{1,5})$`)
	hostName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:%-]*$|^::[A-Fa-f0-9:.]*$`) // no comma: libpq would see several hosts
)

// server reads the instance and its credential. It reaches nothing.
func (e *Engine) server(c events.InstanceConfig) (server, error) {
	s := server{user: c.User, timeout: e.config.ConnectTimeout}
	if err := s.locate(c.Address); err != nil {
		return server{}, err
	}
	if c.User == "" || strings.ContainsRune(c.User, 0) {
		return server{}, rejected("the instance names no user: set user to the one that makes the backups")
	}
	if err := s.protect(c.TLS); err != nil {
		return server{}, err
	}
	secret, err := e.Credentials.Resolve(c.CredentialRef)
	if err != nil {
		return server{}, err
	}
	s.secret = secret
	return s, nil
}

func (s *server) locate(address string) error {
	malformed := rejected("the instance's address is neither host:port nor the absolute path of a socket such as /run/postgresql/.s.PGSQL.5432: correct it")
	port := ""
	if filepath.IsAbs(address) {
		found := socketFile.FindStringSubmatch(filepath.Base(address))
		if found == nil || strings.ContainsAny(address, ",\x00") {
			return malformed
		}
		s.host, port = filepath.Dir(address), found[1]
	} else {
		host, p, err := net.SplitHostPort(address)
		if err != nil || !hostName.MatchString(host) {
			return malformed
		}
		s.host, port = host, p
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return malformed
	}
	s.port = uint16(n)
	return nil
}

func (s *server) protect(t *events.InstanceTLS) error {
	s.mode = events.TLSVerifyFull
	if s.near() {
		s.mode = events.TLSDisable
	}
	if t == nil {
		return nil
	}
	if t.Mode != "" {
		s.mode = t.Mode
	}
	s.caFile = t.CAFile
	switch {
	case s.mode != events.TLSDisable && s.mode != events.TLSRequire && s.mode != events.TLSVerifyFull:
		return rejected("the instance's TLS mode is none of DISABLE, REQUIRE and VERIFY_FULL: correct it")
	case s.caFile != "" && !filepath.IsAbs(s.caFile):
		return rejected("the instance's caFile is no absolute path: correct it")
	}
	return nil
}

func (s server) socket() bool { return filepath.IsAbs(s.host) }

// near tells that nothing leaves the machine.
func (s server) near() bool {
	return s.socket() || s.host == "localhost" || net.ParseIP(s.host).IsLoopback()
}

// systemCAs are where systems keep their certificates in one file; libpq before 16 does not look itself.
var systemCAs = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
}

// conninfo is the connection for a tool. A database's name stands in it as a quoted value, because libpq
// takes an argument with = in it, or one that looks like an address, for a whole conninfo.
func (s server) conninfo(database string) string {
	set := [][2]string{
		{"host", s.host}, {"port", strconv.Itoa(int(s.port))}, {"user", s.user}, {"dbname", database},
		{"connect_timeout", strconv.Itoa(max(2, int(s.timeout.Seconds())))}, {"gssencmode", "disable"}, {"sslmode", s.sslMode()},
	}
	if s.mode == events.TLSVerifyFull {
		set = append(set, [2]string{"sslrootcert", s.roots()})
	}
	var b strings.Builder
	for _, kv := range set {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(kv[0] + "=" + connQuote(kv[1]))
	}
	return b.String()
}

func (s server) sslMode() string {
	switch s.mode {
	case events.TLSRequire:
		return "require"
	case events.TLSVerifyFull:
		return "verify-full"
	}
	return "disable"
}

func (s server) roots() string {
	if s.caFile != "" {
		return s.caFile
	}
	for _, f := range systemCAs {
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	return "system" // libpq 16 and newer
}

// connQuote quotes a value of a conninfo. A closing brace is escaped too, which libpq undoes, so that no
// value looks like the place of a file to package tool.
func connQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, `}`, `\}`).Replace(s) + "'"
}

// command runs a tool against the server. The password is in a file that the tool alone can read; the
// file is there without one too, so that no .pgpass of the executor's user is read.
func (s server) command(path, marker, database string, args ...string) tool.Command {
	return tool.Command{
		Path:  path,
		Args:  append([]string{"--no-password", "--dbname=" + s.conninfo(database)}, args...),
		Env:   []string{"PGAPPNAME=" + marker, "PGPASSFILE={0}"},
		Files: []tool.File{{Content: s.passfile()}},
	}
}

func (s server) passfile() string {
	if s.secret.None() {
		return ""
	}
	return "*:*:*:*:" + strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(s.secret.Reveal()) + "\n"
}
