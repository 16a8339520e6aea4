package gaussdb

import "slices"

// Config of the door. The zero value works.
type Config struct {
	// LockKeys refuses an access key for 5 minutes after more than 5 wrong signatures in a row, as the vendor does. Off
	// by default: whoever knows an access key could lock its owner out.
	LockKeys bool `yaml:"lockKeys"`
	// Level1 turns on what the vendor calls level-1 backups: lists say of each backup where it lies (4.2).
	Level1 bool `yaml:"level1"`
	// ChineseNames allows Chinese letters in names of backups, which then have at most 64 bytes (4.1).
	ChineseNames bool `yaml:"chineseNames"`
}

// Permissions are the names of all that this door asks for. The vendor's service has two, either of which is enough (3.5).
func Permissions() (out []string) {
	for _, r := range (&Door{}).table() {
		for _, name := range namesOf(r.action) {
			if r.action != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

func namesOf(action string) []string {
	return []string{"gaussdb:" + action, "gaussdbformysql:" + action}
}
