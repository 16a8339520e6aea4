package compat

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// nodeClient is Google's Node client, in the version that the test was written with.
const nodeClient = "@googleapis/sqladmin@42.0.0"

// Google's Node client inserts, polls, gets, lists in pages and deletes; a run that is not there rejects with
// code and reason (case 30 of cloudsql.md C).
func TestCloudSQL_NodeClient(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is not on the PATH: Google's Node client was not tried")
	}
	modules, err := installNodeClient()
	if err != nil {
		missing(t, "Google's Node client was not tried: "+err.Error())
	}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			server := startUp(t)
			register(t, server, "orders")
			register(t, server, "empty")
			cmd := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "node", "cloudsql.mjs"), modules, server+"/", version)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

var installNodeClient = sync.OnceValues(func() (string, error) { return installClient(nodeClient) })

// installClient gives the folder of a Node client, which is installed once per user and version. It appears
// there under its name when it is complete, so that two installers at once do no harm.
func installClient(client string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "backupbus", "node")
	folder := filepath.Join(parent, filepath.FromSlash(client))
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
	cmd := exec.Command("npm", "install", "--prefix", scratch, "--no-audit", "--no-fund", "--ignore-scripts", client)
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
