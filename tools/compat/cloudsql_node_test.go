package compat

import (
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
