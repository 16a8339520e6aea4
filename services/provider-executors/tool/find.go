package tool

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
)

// Programs says where programs lie that are not to be looked for on PATH: name to absolute path.
type Programs map[string]string

// Find is the path of the first of the names that there is; configured paths win. The error is an
// events.Failure that says what to install.
func (p Programs) Find(names ...string) (string, error) {
	for _, name := range names {
		if path := p[name]; path != "" {
			if _, err := exec.LookPath(path); err != nil {
				return "", fmt.Errorf("%w: %w", rejected("the program configured as %s cannot be run where the executor runs: correct the executor's setting tools", name), err)
			}
			return path, nil
		}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", rejected("the program %s is not installed where the executor runs: install it, or name its path in the executor's setting tools", strings.Join(names, " or "))
}

// Version is what a program says of itself.
type Version struct {
	Major, Minor int
	Text         string // as 10.11.19-MariaDB
}

// Less compares major and minor.
func (v Version) Less(o Version) bool {
	return v.Major < o.Major || v.Major == o.Major && v.Minor < o.Minor
}

// versionTime is how long a program may think about its own version.
const versionTime = 10 * time.Second

// VersionOf runs `path --version` and takes the first group of what form finds in the answer.
func VersionOf(ctx context.Context, path string, form *regexp.Regexp) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	var out strings.Builder
	said, err := Run(ctx, Command{Path: path, Args: []string{"--version"}, Stdout: &out})
	if err != nil {
		return Version{}, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	found := form.FindStringSubmatch(out.String() + "\n" + said.Stderr)
	if len(found) < 2 {
		return Version{}, fmt.Errorf("%w: %q", rejected("a program of the executor does not say its version: see that it is the right one"), events.Clip(out.String(), 200))
	}
	return ParseVersion(found[1]), nil
}

// ParseVersion reads `10.11.19-MariaDB`, `15.18 (Debian …)`; what is no number is 0.
func ParseVersion(s string) Version {
	v := Version{Text: s}
	parts := strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) > 0 {
		v.Major, _ = strconv.Atoi(parts[0])
	}
	if len(parts) > 1 {
		v.Minor, _ = strconv.Atoi(parts[1])
	}
	return v
}

func rejected(format string, args ...any) *events.Failure {
	return &events.Failure{Code: events.ProviderRejected, Category: events.ByUser, Message: fmt.Sprintf(format, args...)}
}
