package main

// How the workloads that measure themselves are run.
//
// A workload declares its options, calls parse, and hands a report a function that is one round: it does
// n operations and returns their cost. The first round warms up and is dropped. The garbage of a round
// is collected before the next one begins, as package testing does it, so that no round pays for
// another; what is collected while a round runs, it pays for itself.

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

// options are what the command line gives: of every workload --procs, of the measured ones --n, --rounds
// and --warmup, and what the workload adds to the set itself.
type options struct {
	*flag.FlagSet
	args   []string
	procs  *int
	n      *int
	rounds *int
	warmup *int
}

func newOptions(name string, args []string) *options {
	set := flag.NewFlagSet("peer-go "+name, flag.ExitOnError)
	return &options{FlagSet: set, args: args, procs: set.Int("procs", 1, "value of GOMAXPROCS")}
}

// measured adds the options of the workloads that measure themselves.
func (o *options) measured(n int) {
	o.n = o.Int("n", n, "operations, over all goroutines")
	o.rounds = o.Int("rounds", 5, "rounds to report")
	o.warmup = o.Int("warmup", 1, "rounds before those, not reported")
}

// parse is called once the workload has declared what it takes.
func (o *options) parse() {
	for _, arg := range o.args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if strings.HasPrefix(arg, "--") && name != "help" && o.Lookup(name) == nil {
			unsupported("option --" + name + " of " + o.workload())
		}
	}
	// The set exits by itself if a value is wrong.
	_ = o.Parse(o.args)
	if o.NArg() > 0 {
		o.refuse("unexpected argument %q", o.Arg(0))
	}
	o.atLeast("procs", *o.procs, 1)
	if o.n != nil {
		o.atLeast("n", *o.n, 1)
		o.atLeast("rounds", *o.rounds, 1)
		o.atLeast("warmup", *o.warmup, 0)
	}
	runtime.GOMAXPROCS(*o.procs)
}

func (o *options) workload() string {
	return strings.TrimPrefix(o.Name(), "peer-go ")
}

func (o *options) atLeast(name string, value, least int) {
	if value < least {
		o.refuse("--%s must be at least %d", name, least)
	}
}

// refuse ends the process because of an option's value.
func (o *options) refuse(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", o.Name(), fmt.Sprintf(format, args...))
	os.Exit(exitUsage)
}

// A result is one figure per round.
type result struct {
	Variant string    `json:"variant"`
	Metric  string    `json:"metric"`
	Values  []float64 `json:"values"`
}

// A report is the line that a measured workload prints.
type report struct {
	Workload string         `json:"workload"`
	Peer     string         `json:"peer"`
	Procs    int            `json:"procs"`
	Version  string         `json:"version"`
	Params   map[string]any `json:"params"`
	Results  []result       `json:"results"`
	Verified bool           `json:"verified"`

	opts    *options
	variant string
}

func newReport(opts *options, variant string) *report {
	r := &report{
		Workload: opts.workload(),
		Peer:     "go",
		Procs:    *opts.procs,
		Version:  "go " + strings.TrimPrefix(runtime.Version(), "go"),
		Params:   map[string]any{},
		opts:     opts,
		variant:  variant,
	}
	opts.VisitAll(func(f *flag.Flag) {
		if f.Name != "procs" {
			r.Params[f.Name] = f.Value.(flag.Getter).Get()
		}
	})
	return r
}

// add appends a round's value to a metric.
func (r *report) add(metric string, value float64) {
	for i := range r.Results {
		if r.Results[i].Metric == metric {
			r.Results[i].Values = append(r.Results[i].Values, value)
			return
		}
	}
	r.Results = append(r.Results, result{r.variant, metric, []float64{value}})
}

// print is reached only if no check has failed.
func (r *report) print() {
	r.Verified = true
	printLine(r)
}

// printLine prints one JSON object on one line.
func printLine(object any) {
	line, err := json.Marshal(object)
	if err != nil {
		fail("%v", err)
	}
	os.Stdout.Write(append(line, '\n'))
}

// rounds runs the warm-up and the rounds; each calls record with what it cost.
func (r *report) rounds(round func() cost, record func(cost)) {
	for i := range *r.opts.warmup + *r.opts.rounds {
		runtime.GC()
		c := round()
		if i >= *r.opts.warmup {
			record(c)
		}
	}
	r.print()
}

// perOperation reports the cost of a round divided by its operations.
func (r *report) perOperation(round func() cost) {
	n := float64(*r.opts.n)
	r.rounds(round, func(c cost) {
		r.add("ns_per_op", float64(c.wall.Nanoseconds())/n)
		r.add("cpu_ns_per_op", float64(c.cpu.Nanoseconds())/n)
	})
}

// whole reports the cost of a round as it is.
func (r *report) whole(round func() cost) {
	r.rounds(round, func(c cost) {
		r.add("wall_ms", milliseconds(c.wall))
		r.add("cpu_ms", milliseconds(c.cpu))
	})
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1e6
}

// A cost is the time something took, and the CPU time of all threads of the process meanwhile.
type cost struct {
	wall, cpu time.Duration
}

type stopwatch struct {
	wall time.Time
	cpu  time.Duration
}

func startWatch() stopwatch {
	cpu := resources().cpu()
	return stopwatch{time.Now(), cpu}
}

func (s stopwatch) stop() cost {
	wall := time.Since(s.wall)
	return cost{wall, resources().cpu() - s.cpu}
}

// crew starts the members, releases them together once all of them wait, and returns what it cost until
// the last one has finished.
func crew(members []func()) cost {
	var ready, done sync.WaitGroup
	gate := make(chan struct{})
	ready.Add(len(members))
	for _, member := range members {
		done.Go(func() {
			ready.Done()
			<-gate
			member()
		})
	}
	ready.Wait()
	watch := startWatch()
	close(gate)
	done.Wait()
	return watch.stop()
}

// share is the part of total that falls to one of count goroutines; parts differ by at most 1.
func share(total, count, index int) int {
	part := total / count
	if index < total%count {
		part++
	}
	return part
}

// below is the sum of the numbers below n, which is what sums of messages are compared with.
func below(n int) uint64 {
	if n == 0 {
		return 0
	}
	return uint64(n) * uint64(n-1) / 2
}
