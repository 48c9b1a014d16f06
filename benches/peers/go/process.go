package main

// What the system says about this process.

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// rusage is what getrusage(2) knows of all threads.
type rusage struct {
	user, system time.Duration
	switches     int64
}

func resources() rusage {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		fail("getrusage: %v", err)
	}
	return rusage{
		user:     time.Duration(ru.Utime.Nano()),
		system:   time.Duration(ru.Stime.Nano()),
		switches: ru.Nvcsw + ru.Nivcsw,
	}
}

func (r rusage) cpu() time.Duration {
	return r.user + r.system
}

// memory is what is resident, and the page tables that it takes, in KiB.
type memory struct {
	rss, pageTables int64
}

func residentMemory() memory {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fail("%v", err)
	}
	return memory{statusField(status, "VmRSS:"), statusField(status, "VmPTE:")}
}

// statusField finds a line such as "VmRSS:	    1234 kB".
func statusField(status []byte, name string) int64 {
	for line := range bytes.Lines(status) {
		value, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(string(bytes.Fields(value)[0]), 10, 64)
		if err != nil {
			fail("/proc/self/status: %v", err)
		}
		return kib
	}
	fail("/proc/self/status has no %s", name)
	return 0
}
