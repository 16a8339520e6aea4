package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// files writes a fresh certificate of 127.0.0.1 and returns it as a pool.
func files(t *testing.T, dir string, changed time.Time) (TLS, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(changed.UnixNano()), Subject: pkix.Name{CommonName: "backupbus"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	out := TLS{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	for name, block := range map[string]*pem.Block{out.CertFile: {Type: "CERTIFICATE", Bytes: der}, out.KeyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return out, pool
}

func runServer(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// get asks over a connection of its own.
func get(url string, roots *x509.CertPool, protocols func(*http.Protocols)) (proto, body string, err error) {
	p := new(http.Protocols)
	protocols(p)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: p}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get(url)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.Proto, string(b), err
}

// safeBuffer is written by a server and read by its test.
type safeBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func http1(p *http.Protocols) { p.SetHTTP1(true) }
func http2(p *http.Protocols) { p.SetHTTP2(true) }
func h2c(p *http.Protocols)   { p.SetUnencryptedHTTP2(true) }

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })

func TestListen_BothProtocolsInCleartextOrOverTLS(t *testing.T) {
	t.Parallel()
	files, roots := files(t, t.TempDir(), time.Now())
	plain, err := Listen("plain", "127.0.0.1:0", hello)
	if err != nil {
		t.Fatal(err)
	}
	secured, err := ListenTLS("secured", "127.0.0.1:0", hello, files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	runServer(t, plain)
	runServer(t, secured)
	if !strings.HasPrefix(plain.URL(), "http://") || !strings.HasPrefix(secured.URL(), "https://") {
		t.Errorf("%s %s", plain.URL(), secured.URL())
	}
	for _, c := range []struct {
		url   string
		by    func(*http.Protocols)
		proto string // empty: refused
	}{
		{plain.URL(), http1, "HTTP/1.1"}, {plain.URL(), h2c, "HTTP/2.0"},
		{secured.URL(), http1, "HTTP/1.1"}, {secured.URL(), http2, "HTTP/2.0"},
		{"http://" + secured.Addr(), h2c, ""}, {"https://" + plain.Addr(), http1, ""},
	} {
		proto, body, err := get(c.url, roots, c.by)
		if (err == nil) != (c.proto != "") || err == nil && (proto != c.proto || body != "hello") {
			t.Errorf("%s: %s %s %v, want %s", c.url, proto, body, err, c.proto)
		}
	}
	if _, body, err := get("http://"+secured.Addr(), roots, http1); err == nil && body == "hello" {
		t.Error("answered in cleartext")
	}
}

// A renewed certificate is served without a restart, and half a renewal changes nothing.
func TestListenTLS_TakesARenewedCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	named, old := files(t, dir, time.Now().Add(-time.Hour))
	var log safeBuffer
	s, err := ListenTLS("secured", "127.0.0.1:0", hello, named, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	runServer(t, s)
	kept, err := os.ReadFile(named.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	_, renewed := files(t, dir, time.Now())
	fresh, err := os.ReadFile(named.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(named.KeyFile, kept, 0o600); err != nil { // the key of before, the certificate of now
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := get(s.URL(), old, http2); err != nil {
			t.Errorf("half a renewal: %v", err)
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
	if err := os.WriteFile(named.KeyFile, fresh, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(s.URL(), renewed, http2); err != nil {
		t.Errorf("renewed: %v", err)
	}
	if _, _, err := get(s.URL(), old, http2); err == nil {
		t.Error("the old certificate is served")
	}
}

func TestListenTLS_RefusesWhatCannotBeServed(t *testing.T) {
	t.Parallel()
	good, _ := files(t, t.TempDir(), time.Now())
	wide, _ := files(t, t.TempDir(), time.Now())
	if err := os.Chmod(wide.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	other, _ := files(t, t.TempDir(), time.Now())
	for name, bad := range map[string]TLS{
		"go together": {CertFile: good.CertFile}, "absolute": {CertFile: "tls.crt", KeyFile: "tls.key"}, "chmod": wide,
		"private key": {CertFile: good.CertFile, KeyFile: other.KeyFile}, "no such file": {CertFile: good.CertFile, KeyFile: good.KeyFile + "x"},
	} {
		if _, err := ListenTLS("x", "127.0.0.1:0", hello, bad, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
