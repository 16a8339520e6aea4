package tool

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// usage is what a process and its descendants have used so far. In known it says that the machine tells.
type usage struct {
	ticks uint64 // of the CPU, 10 ms each
	bytes uint64 // to and from the disk
	known bool
}

// usageOf asks the machine. What ends meanwhile is not counted any more, which is a change too.
func usageOf(pid int) (u usage) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u
	}
	_, after, _ := bytes.Cut(stat, []byte(") ")) // the name of a program may hold anything
	fields := strings.Fields(string(after))
	if len(fields) < 13 {
		return u
	}
	u.known = true
	for _, f := range fields[11:13] {
		n, _ := strconv.ParseUint(f, 10, 64)
		u.ticks += n
	}
	io, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid)) // may be refused of another user's
	for line := range strings.Lines(string(io)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ": "); name == "read_bytes" || name == "write_bytes" {
			n, _ := strconv.ParseUint(value, 10, 64)
			u.bytes += n
		}
	}
	for _, child := range children(pid) {
		of := usageOf(child)
		u.ticks, u.bytes = u.ticks+of.ticks, u.bytes+of.bytes
	}
	return u
}

// children are the processes that pid has started, those in groups of their own too.
func children(pid int) (all []int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, t := range tasks {
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		for _, f := range strings.Fields(string(list)) {
			if n, err := strconv.Atoi(f); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}
