package mysql_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/executortest"
	"github.com/backupbus/backupbus/services/provider-executors/mysql/mysqltest"
)

// encrypted is a server that lets an account in by TLS alone, over TCP, and whose certificate names localhost.
func encrypted(t *testing.T, kind mysqltest.Kind) (*world, string, string) {
	t.Helper()
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	port := freePort(t)
	srv := mysqltest.Start(t, kind, "--skip-networking=0", "--bind-address=127.0.0.1", "--port="+port, "--ssl-cert="+cert, "--ssl-key="+key)
	if err := createBackuper(t.Context(), srv); err != nil {
		t.Fatal(err)
	}
	run(t, srv.Root(), "ALTER USER "+backuper+"@'%' REQUIRE SSL")
	return newWorld(t, srv), port, cert
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func certificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestTLS_BackupAndRestoreThroughIt(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w, port, ca := encrypted(t, kind)
		name := "t_a_" + string(kind) // the other kind's tool has the other name
		run(t, w.srv.Root(), "CREATE DATABASE "+name)
		fill(t, w.srv, name, 3000)
		j := w.job(name)
		j.Config.Address = "localhost:" + port

		j.Config.TLS = &events.InstanceTLS{Mode: events.TLSDisable}
		_ = w.failed(t, j, events.PermissionDenied, nothing)
		j.Config.TLS = &events.InstanceTLS{Mode: events.TLSVerifyFull} // the system does not know the certificate
		_ = w.failed(t, j, events.PermissionDenied, nothing)
		j.Config.TLS.CAFile = ca
		j.Config.Address = "127.0.0.1:" + port // not the name in it
		_ = w.failed(t, j, events.PermissionDenied, nothing)

		x := w.executor(t)
		for i, mode := range []events.TLSMode{events.TLSRequire, events.TLSVerifyFull} {
			j.BackupID, j.Config.Address = fmt.Sprintf("bk_%026d", i), "localhost:"+port
			j.Config.TLS = &events.InstanceTLS{Mode: mode, CAFile: ca}
			o := executortest.Take(t, x, j)
			target := j.Config
			target.Databases = []string{"t_b" + fmt.Sprint(i)}
			w.restore(t, x, o, target, nil)
			if got := content(t, w.srv, target.Databases[0]); got != content(t, w.srv, name) {
				t.Errorf("%s: content differs", mode)
			}
		}
	})
}

func TestTLS_SessionThatWaitsIsSwept(t *testing.T) {
	onEach(t, func(t *testing.T, kind mysqltest.Kind) {
		w, port, ca := encrypted(t, kind)
		run(t, w.srv.Root(), "CREATE DATABASE t_waits")
		fill(t, w.srv, "t_waits", 1)
		_ = w.locked(t, "t_waits.t")
		j := w.job("t_waits")
		j.Config.Address, j.Config.TLS = "localhost:"+port, &events.InstanceTLS{Mode: events.TLSVerifyFull, CAFile: ca}
		x := w.executor(t)
		ref := start(t, x, j)
		eventually(t, "the tool to wait for the lock", func() bool { return w.waiting(t, backuper) == 1 })
		e, err := w.engine()
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Sweep(t.Context(), j); err != nil || w.waiting(t, backuper) != 0 {
			t.Errorf("%v, %d left", err, w.waiting(t, backuper))
		}
		executortest.WantCode(t, executortest.Finish(t, x, ref).Err, events.ProviderUnavailable)
	})
}
