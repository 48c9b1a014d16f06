// Command peer-go is Go's side of corio's benchmark harness: the workloads of benches/CONTRACT.md as
// Go programmers write them, with nothing but the standard library and the runtime's defaults.
//
//	go build -o ../../../target/peer-go .
//	peer-go pingpong --procs 1 --n 1000000 --rounds 5    # measures itself and prints one line of JSON
//	peer-go serve-echo --procs 2 --addr 127.0.0.1:7000   # is measured from outside, until SIGTERM
//	peer-go pingpong --help
//	gofmt -l . && go vet . && go test .
//
// Which file holds what:
//
//   - measure.go: options, rounds, clocks, the line of results
//   - tasks.go: yield, spawn, skynet, timers, idle_mem
//   - channels.go: pingpong, chan_mpmc, select
//   - locks.go: mutex, rwlock, and the work done under them
//   - serve.go: what all servers have, namely a line at the start, signals and statistics
//   - echo.go, hogs.go: serve-echo, and the goroutines that spin and block beside it
//   - http.go: serve-http
//
// Linux only: memory is read from /proc. Every workload checks its result. Exit status 1 means that a
// result was wrong or the system refused something, 2 an option whose value is wrong, 3 a workload or an
// option that this peer does not have.
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

const (
	exitFailed  = 1
	exitUsage   = 2
	exitUnknown = 3
)

// A workload reads its options, does everything and prints what it found.
type workload func(opts *options)

var workloads = map[string]workload{
	"yield":      yield,
	"spawn":      spawn,
	"skynet":     skynet,
	"timers":     timers,
	"idle_mem":   idleMem,
	"pingpong":   pingpong,
	"chan_mpmc":  chanMPMC,
	"select":     selects,
	"mutex":      mutex,
	"rwlock":     rwlock,
	"serve-echo": serveEcho,
	"serve-http": serveHTTP,
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	name := os.Args[1]
	run, ok := workloads[name]
	switch {
	case ok:
		run(newOptions(name, os.Args[2:]))
	case strings.HasPrefix(name, "-"):
		usage()
	default:
		unsupported("workload " + name)
	}
}

func usage() {
	names := slices.Sorted(maps.Keys(workloads))
	fmt.Fprintf(os.Stderr, "usage: peer-go WORKLOAD --procs P [--option value ...]\nworkloads: %s\n",
		strings.Join(names, " "))
	os.Exit(exitUsage)
}

// unsupported ends the process because this peer has no such thing.
func unsupported(what string) {
	fmt.Fprintf(os.Stderr, "peer-go has no %s\n", what)
	os.Exit(exitUnknown)
}

// fail ends the process because of a wrong result, or of a system that refuses something.
func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "peer-go: "+format+"\n", args...)
	os.Exit(exitFailed)
}

// check fails unless a workload has produced what it had to.
func check(what string, got, want uint64) {
	if got != want {
		fail("%s: got %d, want %d", what, got, want)
	}
}
