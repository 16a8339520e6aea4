package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/postgres/postgrestest"
)

// secured is a server with a certificate for 127.0.0.1, and the file of it.
func secured(t testing.TB) (*postgrestest.Server, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	number := big.NewInt(1)
	form := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s := postgrestest.Start(t)
	for name, block := range map[string]*pem.Block{"server.crt": {Type: "CERTIFICATE", Bytes: der}, "server.key": {Type: "PRIVATE KEY", Bytes: raw}} {
		file := filepath.Join(s.Dir, "data", name)
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		giveToServer(t, s, file)
	}
	s.Exec(t, "postgres", `ALTER SYSTEM SET ssl = on`, `SELECT pg_reload_conf()`)
	eventually(t, "the server speaks TLS", func() bool { return value[string](t, s, "postgres", `SHOW ssl`) == "on" })
	return s, filepath.Join(s.Dir, "data", "server.crt")
}

func TestTLS_ModesProtectAsTheySay(t *testing.T) {
	t.Parallel()
	s, ca := secured(t)
	w := newWorld(t)
	s.CreateUser(t, "tls", canary, "SUPERUSER")
	x := w.executor(t)
	job := func(tls *events.InstanceTLS) events.InstanceConfig {
		c := config(s, "postgres")
		c.Address, c.User, c.CredentialRef, c.TLS = s.TCP, "tls", credentialFile(t, canary), tls
		return c
	}
	for _, tls := range []*events.InstanceTLS{nil, {Mode: events.TLSRequire}, {Mode: events.TLSVerifyFull, CAFile: ca}} {
		take(t, x, uniqueJob(job(tls)))
	}
	f, raw := attempted(t, x, uniqueJob(job(&events.InstanceTLS{Mode: events.TLSVerifyFull})))
	wantFailure(t, f, raw, events.ProviderRejected, "certificate")

	plain := config(server1(t), "postgres")
	plain.Address, plain.User, plain.TLS = server1(t).TCP, "nobody", &events.InstanceTLS{Mode: events.TLSRequire}
	f, raw = attempted(t, x, uniqueJob(plain))
	wantFailure(t, f, raw, events.ProviderRejected, "does not speak TLS")
}
