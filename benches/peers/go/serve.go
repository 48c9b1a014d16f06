package main

// What all servers have: they say where they listen, print their statistics when they get SIGUSR1, and
// end with status 0 when they get SIGTERM.
//
// A client that opens thousands of connections needs nothing here: package os raises the soft limit of
// descriptors to the hard one, and package net listens with the system's largest backlog.

import (
	"net"
	"os"
	"os/signal"
	"syscall"
)

// listening is the first line of a server.
type listening struct {
	Listening string `json:"listening"`
	Unix      string `json:"unix,omitempty"`
	Pid       int    `json:"pid"`
}

// statistics are those of the whole process, since its start.
type statistics struct {
	CPUUser     int64     `json:"cpu_user_us"`
	CPUSystem   int64     `json:"cpu_sys_us"`
	RSS         int64     `json:"rss_kb"`
	PageTables  int64     `json:"page_tables_kb"`
	HogProgress []float64 `json:"hog_progress"`
	Switches    int64     `json:"ctx_switches"`
}

// listen opens the listeners of a server, that of TCP first and, if there is a path, a Unix one. The
// latter's file goes when it is closed.
func listen(addr, path string) []net.Listener {
	networks := [][2]string{{"tcp", addr}}
	if path != "" {
		networks = append(networks, [2]string{"unix", path})
	}
	var listeners []net.Listener
	for _, n := range networks {
		l, err := net.Listen(n[0], n[1])
		if err != nil {
			fail("%v", err)
		}
		listeners = append(listeners, l)
	}
	return listeners
}

// untilTerminated announces the listeners and obeys signals. It returns, with the listeners closed, when
// the process is to end. The accept loops run meanwhile.
func untilTerminated(listeners []net.Listener, beside *hogs) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGTERM)

	first := listening{Listening: listeners[0].Addr().String(), Pid: os.Getpid()}
	if len(listeners) > 1 {
		first.Unix = listeners[1].Addr().String()
	}
	printLine(first)
	beside.start()

	for s := range signals {
		if s == syscall.SIGTERM {
			break
		}
		usage, memory := resources(), residentMemory()
		printLine(statistics{
			CPUUser:     usage.user.Microseconds(),
			CPUSystem:   usage.system.Microseconds(),
			RSS:         memory.rss,
			PageTables:  memory.pageTables,
			HogProgress: beside.progress(),
			Switches:    usage.switches,
		})
	}
	for _, l := range listeners {
		l.Close()
	}
}
