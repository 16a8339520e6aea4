package native_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/backupbus/backupbus/events"
	"github.com/backupbus/backupbus/services/pipelinetest"
)

const (
	benchProjects = 10
	benchClients  = 100 // of each project
)

// BenchmarkStreams has 1,000 clients follow the events of ten projects. An iteration appends one event to each project
// and waits until the last client has its own. What a client costs is told as heap and stacks of this whole process:
// server, NATS and the clients themselves.
func BenchmarkStreams(b *testing.B) {
	p := pipelinetest.Start(b, pipelinetest.Options{})
	server, err := url.Parse(p.URL)
	if err != nil {
		b.Fatal(err)
	}
	heap, stacks := memory()
	told := make(chan struct{}, benchProjects*benchClients)
	for n := range benchProjects * benchClients {
		follow(b, server.Host, fmt.Sprintf("p%d", n%benchProjects), told)
	}
	for range benchProjects * benchClients { // each has its first block
		<-told
	}
	heapNow, stacksNow := memory()
	round := 0
	var appending, whole time.Duration
	for b.Loop() {
		round++
		start := time.Now()
		written := make(chan error, benchProjects)
		for n := range benchProjects {
			go func() { written <- add(p, fmt.Sprintf("p%d", n), round) }()
		}
		for range benchProjects {
			if err := <-written; err != nil {
				b.Fatal(err)
			}
		}
		appended := time.Now()
		for range benchProjects * benchClients {
			<-told
		}
		appending += appended.Sub(start)
		whole += time.Since(start)
	}
	const clients = benchProjects * benchClients
	b.ReportMetric(float64(heapNow-heap)/clients/1024, "KiB-heap/client")
	b.ReportMetric(float64(stacksNow-stacks)/clients/1024, "KiB-stack/client")
	b.ReportMetric(float64(appending.Milliseconds())/float64(round), "ms-append")
	b.ReportMetric(float64(whole.Milliseconds())/float64(round), "ms-to-last-client")
}

// memory is what is in use after garbage is gone.
func memory() (heap, stacks uint64) {
	runtime.GC()
	runtime.GC() // what the first one only unlinked
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.StackInuse
}

// follow opens a stream and tells of its first block and of every event.
func follow(b *testing.B, host, project string, told chan<- struct{}) {
	b.Helper()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET /api/v1/projects/%s/events HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", project, host); err != nil {
		b.Fatal(err)
	}
	go func() {
		in := bufio.NewReaderSize(conn, 256) // lines that are longer come in pieces
		for {
			line, err := in.ReadSlice('\n')
			if err != nil && len(line) == 0 {
				return
			}
			if bytes.HasPrefix(line, []byte("retry: ")) || bytes.HasPrefix(line, []byte("event: dev.backupbus.")) {
				told <- struct{}{}
			}
		}
	}()
}

// add appends the registration of another instance.
func add(p *pipelinetest.Pipeline, project string, round int) error {
	name := fmt.Sprintf("i%d", round)
	id, err := events.InstanceID(project, "sqlite", name)
	if err != nil {
		return err
	}
	now := time.Now()
	in := events.Instance{Project: project, InstanceID: id, Provider: "sqlite", Instance: name, Generation: 1, CreateTime: events.At(now),
		IDs: events.InstanceIDs{GaussDB: events.GaussInstanceID(id)}, Config: events.InstanceConfig{Engine: "sqlite", Region: "eu", File: "/" + name}}
	_, err = p.Bus.Append(context.Background(), events.Draft{
		Aggregate: in.Aggregate(), Step: events.Registered, EventID: events.EventID(id, events.Instances, events.Registered, 1), At: now,
		Scope: events.ScopeName, Decide: func(context.Context, events.Prior) (events.Payload, error) { return in, nil },
	})
	return err
}
