package cloudsql

import (
	"regexp"
	"slices"
)

var locationForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// multiRegions are those that Cloud SQL keeps backups in, each with the regions that it is the nearest to
// (cloudsql.md 11.4; https://cloud.google.com/sql/docs/mysql/locations). Regions outside of all three go to the
// one that Google names for them, or else to the one that the cables lead to.
var multiRegions = map[string][]string{
	"us": {
		"northamerica-northeast1", "northamerica-northeast2", "northamerica-south1", "southamerica-east1", "southamerica-west1",
		"us-central1", "us-east1", "us-east4", "us-east5", "us-south1", "us-west1", "us-west2", "us-west3", "us-west4",
	},
	"eu": {
		"africa-south1", "europe-central2", "europe-north1", "europe-north2", "europe-southwest1", "europe-west1", "europe-west2",
		"europe-west3", "europe-west4", "europe-west6", "europe-west8", "europe-west9", "europe-west10", "europe-west12",
		"me-central1", "me-central2", "me-west1",
	},
	"asia": {
		"asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3", "asia-south1", "asia-south2",
		"asia-southeast1", "asia-southeast2", "asia-southeast3", "australia-southeast1", "australia-southeast2",
	},
}

// nearest is the multi-region of a region. A name that is none of Google's regions is a place of its own.
func nearest(region string) string {
	for multi, regions := range multiRegions {
		if slices.Contains(regions, region) {
			return multi
		}
	}
	return region
}

// google tells whether a name is one of Google's regions or multi-regions.
func google(location string) bool {
	_, multi := multiRegions[location]
	return multi || nearest(location) != location
}

// located refuses a location that is nowhere (B17). The region of the instance always works.
func (d *Door) located(location string, i configured) error {
	if location == "" || google(location) || slices.Contains(d.c.Locations, location) || location == i.Config.Region {
		return nil
	}
	return errLocation
}

// location is where a backup goes whose request names no place.
func (i configured) location() string {
	if l := i.stored().Location; l != "" {
		return l
	}
	return nearest(i.Config.Region)
}

var errLocation = invalid("Invalid backup location: name a region or a multi-region of Google, the instance's own region, or a place that this deployment is configured with.")
