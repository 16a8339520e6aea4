package cloudsql_test

import (
	"net/http"
	"testing"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
	"github.com/backupbus/backupbus/services/requester"
	"github.com/backupbus/backupbus/services/requester/door/cloudsql"
)

func TestLocations_OfABackup(t *testing.T) { // cloudsql.md 11.4, B17
	t.Parallel()
	p := pipelinetest.Start(t, pipelinetest.Options{Requester: requester.Config{CloudSQL: cloudsql.Config{Locations: []string{"cellar"}}}})
	p.Hand.Auto()
	runs := func(name string) string { return path("acme", "instances", name, "backupRuns") }
	for region, want := range map[string]string{
		"us-central1": "us", "southamerica-east1": "us", "europe-west12": "eu", "me-west1": "eu", "asia-south1": "asia",
		"australia-southeast1": "asia", "eu": "eu", "our-own": "our-own",
	} {
		facts(t, p, region, "sqlite", region, "")
		take := func(body string) string {
			o := insert(t, p, region, body)
			p.Await("acme", backupID(t, p), events.Succeeded)
			return getRun(p, region, o.BackupContext.BackupId).Location
		}
		for _, c := range []struct{ configured, body, want string }{
			{"", "", want}, {"", `{"location":"asia"}`, "asia"}, {"cellar", "", "cellar"}, {"cellar", `{"location":"` + region + `"}`, region}, {region, "", region},
		} {
			patch(p, region, `{"location":"`+c.configured+`"}`)
			if got := take(c.body); got != c.want {
				t.Errorf("%s, configured %q, body %q: %q, want %q", region, c.configured, c.body, got, c.want)
			}
		}
		for _, nowhere := range []string{"atlantis", "Nowhere!", "eu-west1", "global"} {
			refused(t, p, http.MethodPost, runs(region), `{"location":"`+nowhere+`"}`, 400, "invalid")
			refused(t, p, http.MethodPost, path("acme", "backups"), `{"instance":"`+region+`","location":"`+nowhere+`"}`, 400, "invalid")
			refused(t, p, http.MethodPatch, path("acme", "instances", region), `{"settings":{"backupConfiguration":{"location":"`+nowhere+`"}}}`, 400, "invalid")
		}
	}
	bare := pipelinetest.Start(t, pipelinetest.Options{})
	facts(t, bare, "orders", "sqlite", "", "")
	refused(t, bare, http.MethodPost, runs("orders"), `{"location":"cellar"}`, 400, "invalid")
	if r := getRun(bare, "orders", insert(t, bare, "orders", "").BackupContext.BackupId); r.Location != "" {
		t.Errorf("an instance that is nowhere has a backup in %q", r.Location)
	}
}
