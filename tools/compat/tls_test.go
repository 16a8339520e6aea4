package compat

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	database "cloud.google.com/go/spanner/admin/database/apiv1"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// TestTLS_GoogleClientsOverBothProtocols: the one port, over TLS.
func TestTLS_GoogleClientsOverBothProtocols(t *testing.T) {
	t.Parallel()
	pair := httptest.NewTLSServer(nil) // for its certificate, of 127.0.0.1
	pair.Close()
	key, err := x509.MarshalPKCS8PrivateKey(pair.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	settings := "requester:\n  tls: {certFile: " + dir + "/tls.crt, keyFile: " + dir + "/tls.key}\n"
	for name, text := range map[string]string{
		"tls.crt":       string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate().Raw})),
		"tls.key":       string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"settings.yaml": settings,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := startUpWith(t, filepath.Join(dir, "settings.yaml"))
	if !strings.HasPrefix(server, "https://") {
		t.Fatalf("ready on %s", server)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Certificate())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	registerBy(t, client, server, "orders")

	over, err := database.NewDatabaseAdminClient(t.Context(), option.WithEndpoint(strings.TrimPrefix(server, "https://")), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots}))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = over.Close() }()
	useSpanner(t, over)

	rest, err := database.NewDatabaseAdminRESTClient(t.Context(), option.WithEndpoint(server), option.WithHTTPClient(client))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rest.Close() }()
	first, err := rest.ListBackupOperations(t.Context(), &databasepb.ListBackupOperationsRequest{Parent: spannerInstance}).Next()
	if err != nil || !first.GetDone() {
		t.Errorf("over REST: %v %v", first, err)
	}
}
