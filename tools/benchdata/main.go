// Command benchdata measures whole backups against the bare tool: `make bench-data`. For each engine it makes
// a database of a gigabyte, and then takes it, five rounds in turn, by the tool piped into the zstd program,
// by the executor with the zstd program, and by the executor with the built-in compressor; both times with
// encryption and checksum. Ratios are of medians in one run. It exits 1 when a target is missed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
)

// Targets (design.md 8; memory: the issue of the data plane).
const (
	wallProgram = 1.10
	wallBuiltin = 1.45
	cpuBuiltin  = 1.35
	peakMiB     = 128
	peakGrowth  = 1.25 // of a dump ten times larger; sampling misses some of a short one
)

func main() {
	if doc := os.Getenv(jobEnv); doc != "" {
		os.Exit(takeOne(doc))
	}
	size := flag.Int64("size", 1<<30, "bytes of each database's dump, about")
	rounds := flag.Int("rounds", 5, "rounds of each way")
	engines := flag.String("engines", "mysql,postgres,sqlite", "what to measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	missed, err := run(ctx, strings.Split(*engines, ","), *size, *rounds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchdata:", err)
		os.Exit(2)
	}
	if missed {
		os.Exit(1)
	}
}

func run(ctx context.Context, engines []string, size int64, rounds int) (missed bool, err error) {
	dir, err := os.MkdirTemp("", "benchdata-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL runs as another user when we are root
		return false, err
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "engine\twhat\tfigure\ttarget\t\tbare tool (median)\tours (median, range)\tbytes")
	for _, name := range engines {
		open := sources[name]
		if open == nil {
			return false, fmt.Errorf("engine %q: there is mysql, postgres, sqlite", name)
		}
		small, err := measure(ctx, dir, name, open, size/10, 1)
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		r, err := measure(ctx, dir, name, open, size, rounds)
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		missed = r.print(out, name, small) || missed
		if err := out.Flush(); err != nil {
			return false, err
		}
	}
	return missed, nil
}

// ways are how a database is taken.
var ways = []string{"bare", "program", "builtin"}

// results are the runs of one engine, by way.
type results map[string][]sample

func measure(ctx context.Context, dir, name string, open opener, size int64, rounds int) (_ results, err error) {
	fmt.Fprintf(os.Stderr, "%s: make a database of %d MiB\n", name, size>>20)
	home, err := os.MkdirTemp(dir, "db-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(home)
	if err := os.Chmod(home, 0o711); err != nil {
		return nil, err
	}
	src, err := open(ctx, home, size)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.close()) }()
	r := results{}
	for round := range rounds {
		for n := range ways { // another one is first in each round
			way := ways[(round+n)%len(ways)]
			s, err := take(ctx, dir, src, way)
			if err != nil {
				return nil, fmt.Errorf("round %d, %s: %w", round+1, way, err)
			}
			fmt.Fprintf(os.Stderr, "%s round %d %-8s %6.2f s wall %6.2f s cpu %5d MiB peak %d bytes\n", name, round+1, way, s.Wall, s.CPU, s.Peak>>20, s.Bytes)
			r[way] = append(r[way], s)
		}
	}
	return r, nil
}

func (r results) print(out *tabwriter.Writer, name string, small results) (missed bool) {
	bare := r["bare"]
	row := func(what, way string, figure, target float64, unit string, of func(sample) float64) {
		verdict := "ok"
		if figure > target {
			verdict, missed = "MISSED", true
		}
		fmt.Fprintf(out, "%s\t%s\t%.2f%s\t<= %.2f%s\t%s\t%.2f\t%.2f (%.2f-%.2f)\t%.3f of bare\n", name, what, figure, unit, target, unit, verdict,
			median(bare, of), median(r[way], of), least(r[way], of), most(r[way], of), median(r[way], bytesOf)/median(bare, bytesOf))
	}
	row("wall, zstd program", "program", median(r["program"], wallOf)/median(bare, wallOf), wallProgram, "", wallOf)
	row("wall, built-in", "builtin", median(r["builtin"], wallOf)/median(bare, wallOf), wallBuiltin, "", wallOf)
	row("CPU, built-in", "builtin", median(r["builtin"], cpuOf)/median(bare, cpuOf), cpuBuiltin, "", cpuOf)
	for _, way := range []string{"program", "builtin"} {
		row("peak memory, "+way, way, most(r[way], peakOf), peakMiB, " MiB", peakOf)
		row("peak against a tenth of the size, "+way, way, most(r[way], peakOf)/most(small[way], peakOf), peakGrowth, "", peakOf)
	}
	return missed
}

func wallOf(s sample) float64  { return s.Wall }
func cpuOf(s sample) float64   { return s.CPU }
func peakOf(s sample) float64  { return float64(s.Peak) / (1 << 20) }
func bytesOf(s sample) float64 { return float64(s.Bytes) }

func values(all []sample, of func(sample) float64) []float64 {
	var v []float64
	for _, s := range all {
		v = append(v, of(s))
	}
	slices.Sort(v)
	return v
}

func median(all []sample, of func(sample) float64) float64 { v := values(all, of); return v[len(v)/2] }
func least(all []sample, of func(sample) float64) float64  { return values(all, of)[0] }
func most(all []sample, of func(sample) float64) float64 {
	v := values(all, of)
	return v[len(v)-1]
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of strings
	}
	return string(b)
}
