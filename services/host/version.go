package host

import "runtime/debug"

// Version of the program as the Go toolchain recorded it; "devel" for a build outside a release.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
