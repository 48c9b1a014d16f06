package main

// Goroutines beside a server that compute without a pause, and goroutines that block their thread.
//
// What they show is how a server fares when some of its tasks do not behave. A hog has no call, no
// channel and no lock in its loop, nothing at which a scheduler could take over unasked, except that it
// looks at the clock every tenth of a millisecond, so that it ends also where nobody can interrupt it. A
// blocker is in one nanosleep(2) all the time: a system call of which the scheduler knows nothing but
// that it lasts, like one of a C library. (time.Sleep is not that; it parks the goroutine.)
//
// The progress of a hog is the work that it has done, in milliseconds that the same work takes when
// nobody disturbs it: no scheduler says how much CPU time a goroutine has had.

import (
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// chunkSteps of work are done between two looks at the clock, about a tenth of a millisecond.
const chunkSteps = 65_536

// calibrations is how many chunks are timed at the start; the fastest of them is undisturbed.
const calibrations = 20

type hogs struct {
	count, blockers int
	lasting, delay  float64       // seconds
	chunk           time.Duration // what one takes undisturbed
	done            []hogCount
}

// A hogCount is the number of chunks that a hog has done, on cache lines of its own.
type hogCount struct {
	chunks atomic.Int64
	_      [120]byte
}

// declare adds the options.
func (h *hogs) declare(opts *options) {
	opts.IntVar(&h.count, "hogs", 0, "goroutines that compute")
	opts.IntVar(&h.blockers, "blockers", 0, "goroutines that block their threads")
	opts.Float64Var(&h.lasting, "hog-seconds", 2, "for how long they do so")
	opts.Float64Var(&h.delay, "delay", 0, "seconds until they begin, from when the server says where it listens")
}

// prepare is called before the server says that it listens, while there is nothing else to do.
func (h *hogs) prepare(opts *options) {
	opts.atLeast("hogs", h.count, 0)
	opts.atLeast("blockers", h.blockers, 0)
	h.done = make([]hogCount, h.count)
	if h.count == 0 {
		return
	}
	h.chunk = time.Hour
	state := uint64(1)
	for range calibrations {
		start := time.Now()
		state = work(state, chunkSteps)
		h.chunk = min(h.chunk, time.Since(start))
	}
	runtime.KeepAlive(state)
}

// start returns at once; hogs and blockers begin when it is time.
func (h *hogs) start() {
	if h.count+h.blockers == 0 {
		return
	}
	lasting := time.Duration(h.lasting * float64(time.Second))
	time.AfterFunc(time.Duration(h.delay*float64(time.Second)), func() {
		end := time.Now().Add(lasting)
		for i := range h.done {
			go hog(&h.done[i], end)
		}
		for range h.blockers {
			go block(lasting)
		}
	})
}

func hog(count *hogCount, end time.Time) {
	state := uint64(1)
	for time.Now().Before(end) {
		state = work(state, chunkSteps)
		count.chunks.Add(1)
	}
	runtime.KeepAlive(state)
}

// block goes on when a signal has interrupted it: those by which the runtime preempts goroutines do.
func block(lasting time.Duration) {
	rest := syscall.NsecToTimespec(lasting.Nanoseconds())
	for {
		asked := rest
		if err := syscall.Nanosleep(&asked, &rest); err != syscall.EINTR {
			return
		}
	}
}

// progress of each hog, in undisturbed milliseconds.
func (h *hogs) progress() []float64 {
	all := make([]float64, len(h.done))
	for i := range h.done {
		all[i] = milliseconds(time.Duration(h.done[i].chunks.Load()) * h.chunk)
	}
	return all
}
