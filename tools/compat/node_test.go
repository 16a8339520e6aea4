package compat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// busClients are what Node programs read and receive events with, in the versions that the tests were written with.
var busClients = []string{"@nats-io/transport-node@3.4.0", "@nats-io/jetstream@3.4.0", "eventsource@4.1.1", "cloudevents@10.0.0",
	"@asyncapi/parser@3.6.3", "standardwebhooks@1.1.1"}

// script prepares a script of testdata/node, which gets the folder of the clients before its arguments.
// It is killed when it takes too long.
func script(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is not on the PATH: "+name+" was not tried")
	}
	modules, err := installBusClients()
	if err != nil {
		missing(t, name+" was not tried: "+err.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, node, append([]string{filepath.Join("testdata", "node", name), modules}, args...)...)
}

// runs wants that a script ends well.
func runs(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := script(t, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

var installBusClients = sync.OnceValues(func() (string, error) {
	sum := sha256.Sum256([]byte(strings.Join(busClients, " ")))
	return install("bus-"+hex.EncodeToString(sum[:8]), busClients...)
})

// installClient is install of one package, under its own name.
func installClient(client string) (string, error) { return install(client, client) }

// install gives a folder with packages of npm, which are installed once per user and name. It appears under its name when
// it is complete, so that two installers at once do no harm.
func install(name string, packages ...string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "backupbus", "node")
	folder := filepath.Join(parent, filepath.FromSlash(name))
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(parent, "install-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	var out bytes.Buffer
	cmd := exec.Command("npm", append([]string{"install", "--prefix", scratch, "--no-audit", "--no-fund", "--ignore-scripts"}, packages...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = scratch, &out, &out
	if err := cmd.Run(); err != nil {
		return "", errors.New("npm install: " + err.Error() + "\n" + out.String())
	}
	if err := os.Rename(scratch, folder); err != nil {
		if _, gone := os.Stat(folder); gone != nil { // else another installer was first
			return "", err
		}
	}
	return folder, nil
}
