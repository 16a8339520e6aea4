package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/provider-executors/archive"
	"github.com/backupbus/backupbus/services/provider-executors/engine"
	"github.com/backupbus/backupbus/services/provider-executors/executor"
	"github.com/backupbus/backupbus/services/provider-executors/mysql"
	"github.com/backupbus/backupbus/services/provider-executors/postgres"
	"github.com/backupbus/backupbus/services/provider-executors/sqlite"
)

// sample is one backup.
type sample struct {
	Wall  float64 // seconds from the start to the end of the backup, without the start of the process
	CPU   float64 // seconds of the process and its children
	Peak  int64   // bytes resident in the process and its children, sampled, the server not included
	Bytes int64   // stored
}

// jobEnv makes this program a process that takes one backup.
const jobEnv = "BENCHDATA_JOB"

// job is what that process gets.
type job struct {
	Provider  string
	Config    events.InstanceConfig
	Store     string
	Scratch   string
	Program   string // zstd; empty: built in
	Recipient string
}

// take takes one backup in a process of its own, and looks at its memory meanwhile.
func take(ctx context.Context, dir string, src *source, way string) (sample, error) {
	store, err := os.MkdirTemp(dir, "store-")
	if err != nil {
		return sample{}, err
	}
	defer os.RemoveAll(store)
	if way == "bare" {
		return bare(ctx, src.bare(filepath.Join(store, "dump.zst")), filepath.Join(store, "dump.zst"))
	}
	j := job{Provider: src.provider, Config: src.config, Store: store, Scratch: filepath.Join(dir, "scratch"), Recipient: recipient}
	if way == "program" {
		if j.Program, err = exec.LookPath("zstd"); err != nil {
			return sample{}, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), jobEnv+"="+mustJSON(j))
	cmd.Stderr = os.Stderr
	var out bytes.Buffer
	cmd.Stdout = &out
	peak, err := watched(cmd)
	if err != nil {
		return sample{}, err
	}
	var s sample
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		return sample{}, fmt.Errorf("%q: %w", out.String(), err)
	}
	s.CPU, s.Peak = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), peak
	return s, nil
}

// recipient is an age public key whose secret half was thrown away.
const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

// bare runs a shell line that writes file and syncs it.
func bare(ctx context.Context, line, file string) (sample, error) {
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-ec", line+" && sync "+file)
	cmd.Stderr = os.Stderr
	began := time.Now()
	peak, err := watched(cmd)
	if err != nil {
		return sample{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return sample{}, err
	}
	return sample{Wall: time.Since(began).Seconds(), CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), Peak: peak, Bytes: info.Size()}, nil
}

// takeOne is the process that takes one backup and prints its sample.
func takeOne(doc string) int {
	s, err := one(context.Background(), doc)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchdata:", err)
		return 1
	}
	return 0
}

func one(ctx context.Context, doc string) (sample, error) {
	var j job
	if err := json.Unmarshal([]byte(doc), &j); err != nil {
		return sample{}, err
	}
	e, err := engineOf(j.Provider)
	if err != nil {
		return sample{}, err
	}
	storages, err := archive.Open(ctx, archive.Options{URLs: map[string]string{"main": "file://" + j.Store}, Compression: archive.Compression{Program: j.Program}})
	if err != nil {
		return sample{}, err
	}
	defer storages.Close()
	scratch, err := engine.OpenScratch(j.Scratch)
	if err != nil {
		return sample{}, err
	}
	x, err := engine.New(j.Provider, e, engine.Deps{Now: time.Now, Storages: storages, Scratch: scratch, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return sample{}, err
	}
	defer x.Close()
	j.Config.EncryptTo = []string{j.Recipient}
	began := time.Now()
	ref, err := x.Start(ctx, executor.Job{BackupID: "bk_bench", Attempt: 1, Project: "bench", Instance: "bench", Config: j.Config, Proof: events.ProofStored})
	if err != nil {
		return sample{}, err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		p, err := x.Poll(ctx, ref)
		if err = errors.Join(err, p.Err); err != nil {
			return sample{}, err
		}
		if p.Done {
			return sample{Wall: time.Since(began).Seconds(), Bytes: p.Outcome.SizeBytes}, nil
		}
	}
	return sample{}, nil
}

func engineOf(provider string) (engine.Engine, error) {
	switch provider {
	case mysql.Provider:
		return mysql.New(mysql.Deps{Now: time.Now}, mysql.Config{})
	case postgres.Provider:
		return postgres.New(postgres.Deps{Now: time.Now}, postgres.Config{})
	}
	return sqlite.New(sqlite.Deps{Now: time.Now}, sqlite.Config{})
}

// watched runs cmd and returns the most that it and its descendants had resident at once.
func watched(cmd *exec.Cmd) (peak int64, err error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return peak, err
		case <-tick.C:
			peak = max(peak, resident(cmd.Process.Pid))
		}
	}
}

// resident sums VmRSS of a process and its descendants. Shared pages count twice.
func resident(pid int) int64 {
	var sum int64
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			sum = kb << 10
		}
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		children, _ := os.ReadFile(t)
		for _, c := range strings.Fields(string(children)) {
			n, _ := strconv.Atoi(c)
			sum += resident(n)
		}
	}
	return sum
}
