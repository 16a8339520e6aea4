package compat

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/remote"
)

// azurite is Microsoft's emulator of Azure Storage, in the version that the test was written with.
const azurite = "azurite@3.37.0"

var installAzurite = sync.OnceValues(func() (string, error) { return installClient(azurite) })

// The account that the emulator has, as its documentation prints it, and a key that it has not.
const (
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	otherKey     = "AAAAvdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

var azuriteListens = regexp.MustCompile(`listens on http://(127\.0\.0\.1:\d+)`)

// startAzurite gives the address of an emulator with the container backups.
func startAzurite(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		missing(t, "node is not on the PATH: Azure Blob Storage was not tried")
	}
	modules, err := installAzurite()
	if err != nil {
		missing(t, "Azure Blob Storage was not tried: "+err.Error())
	}
	cmd := exec.Command("node", filepath.Join(modules, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
		"--inMemoryPersistence", "--blobPort", "0", "--skipApiVersionCheck", "--disableTelemetry", "--extentMemoryLimit", "512")
	cmd.Dir = t.TempDir()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	found := make(chan string, 1)
	go func() {
		defer close(found)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := azuriteListens.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	select {
	case address := <-found:
		if address == "" {
			t.Fatal("the emulator ended")
		}
		client, err := azblob.NewClientFromConnectionString("DefaultEndpointsProtocol=http;AccountName="+azureAccount+
			";AccountKey="+azureKey+";BlobEndpoint=http://"+address+"/"+azureAccount, nil)
		if err == nil {
			_, err = client.CreateContainer(t.Context(), "backups", nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		return address
	case <-time.After(patience):
		t.Fatal("the emulator does not listen")
	}
	return ""
}

// openAzure opens a copy in the emulator's container.
func openAzure(t *testing.T, address string) (*archive.Copy, error) {
	t.Helper()
	st, err := archive.Open(t.Context(), archive.Options{Openers: remote.Openers(), URLs: map[string]string{
		"main": "azblob://backups?prefix=team-a/&protocol=http&localemu=true&domain=" + address}})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = st.Close() })
	return st.Of(executor.Job{BackupID: "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa", Attempt: 1, Project: "shop", Instance: "orders"})
}

// A copy of several blocks comes back whole from Azure Blob Storage, one that is cut leaves nothing, and a key that is
// wrong is said to be.
func TestAzure_BlobStorage(t *testing.T) {
	address := startAzurite(t)
	t.Setenv("AZURE_STORAGE_ACCOUNT", azureAccount)
	t.Setenv("AZURE_STORAGE_KEY", azureKey)
	c, err := openAzure(t, address)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 40<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	write := func(ctx context.Context, from io.Reader) (archive.Object, error) {
		return c.Write(ctx, archive.Stream{Name: "dump.sql"}, func(w io.Writer) error {
			_, err := io.Copy(w, from)
			return err
		})
	}
	remains := func(want bool) {
		t.Helper()
		if there, err := c.Remains(t.Context()); err != nil || there != want {
			t.Errorf("remains %v, %v", there, err)
		}
	}
	cut := errors.New("the tool died")
	if _, err := write(t.Context(), io.MultiReader(bytes.NewReader(data), failingReader{cut})); !errors.Is(err, cut) {
		t.Fatal(err)
	}
	remains(false)
	o, err := write(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	m := archive.Manifest{BackupID: "bk_aaaaaaaaaaaaaaaaaaaaaaaaaa", Attempt: 1, Objects: []archive.Object{o}}
	if err := c.WriteManifest(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if m, err = c.ReadManifest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Check(t.Context(), m); err != nil || n != o.StoredBytes {
		t.Errorf("check: %d bytes, %v", n, err)
	}
	var got bytes.Buffer
	if _, err := c.Extract(t.Context(), m.Objects[0], &got); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("extract: %d bytes of %d, %v", got.Len(), len(data), err)
	}
	remains(true)
	if n, err := c.Delete(t.Context()); err != nil || n <= o.StoredBytes {
		t.Errorf("delete: %d bytes, %v", n, err)
	}
	remains(false)
	var f *events.Failure
	if _, err := c.ReadManifest(t.Context()); !errors.As(err, &f) || f.Code != events.NotFound {
		t.Errorf("what is gone: %v", err)
	}

	t.Setenv("AZURE_STORAGE_KEY", otherKey)
	_, err = openAzure(t, address)
	if !errors.As(err, &f) || f.Code != events.PermissionDenied || strings.Contains(err.Error(), otherKey) {
		t.Errorf("a wrong key: %v", err)
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }
