package main

// Locks. An operation is a turn: the lock taken once and released.
//
// Goroutines that compete compute under the lock, for otherwise nothing but the cache line would be
// measured; the computation is part of the figure. A goroutine that is alone with the lock only counts.

import (
	"fmt"
	"runtime"
	"sync"
)

// steps of work under a lock that is competed for: about 13 ns.
const steps = 8

// work is Xorshift. Each step needs the one before it, and touches no memory.
func work(x uint64, steps int) uint64 {
	x |= 1
	for range steps {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// shared is what is locked: the state of a computation, and how often it has been changed.
type shared struct {
	state, changes uint64
}

func (s *shared) change(steps int) {
	s.state = work(s.state, steps)
	s.changes++
}

// competition gives the number of steps under the lock, and the name, for that many goroutines.
func competition(tasks int) (int, string) {
	if tasks == 1 {
		return 0, "uncontended"
	}
	return steps, fmt.Sprintf("%d tasks", tasks)
}

func mutex(opts *options) {
	opts.measured(4_000_000)
	tasks := opts.Int("tasks", 8, "goroutines that compete; 1: nobody else is about")
	opts.parse()
	opts.atLeast("tasks", *tasks, 1)
	steps, variant := competition(*tasks)

	newReport(opts, variant).perOperation(func() cost {
		var mu sync.Mutex
		var s shared
		members := make([]func(), *tasks)
		for i := range members {
			turns := share(*opts.n, *tasks, i)
			members[i] = func() {
				for range turns {
					mu.Lock()
					s.change(steps)
					mu.Unlock()
				}
			}
		}
		c := crew(members)
		check("changes", s.changes, uint64(*opts.n))
		return c
	})
}

// rwlock: of a hundred turns, --reads only look at what is locked. Those that change it are spread evenly.
func rwlock(opts *options) {
	opts.measured(4_000_000)
	tasks := opts.Int("tasks", 8, "goroutines that compete; 1: nobody else is about")
	reads := opts.Int("reads", 90, "turns of a hundred that only read")
	opts.parse()
	opts.atLeast("tasks", *tasks, 1)
	opts.atLeast("reads", *reads, 0)
	if *reads > 100 {
		opts.refuse("--reads must be at most 100")
	}
	steps, variant := competition(*tasks)
	writes := 100 - *reads

	newReport(opts, fmt.Sprintf("%s %d%% reads", variant, *reads)).perOperation(func() cost {
		var mu sync.RWMutex
		var s shared
		seen := make([]uint64, *tasks)
		members := make([]func(), *tasks)
		var changes uint64
		for i := range members {
			turns := share(*opts.n, *tasks, i)
			changes += uint64(turns) * uint64(writes) / 100
			members[i] = func() {
				var found uint64
				credit := 0
				for range turns {
					if credit += writes; credit >= 100 {
						credit -= 100
						mu.Lock()
						s.change(steps)
						mu.Unlock()
					} else {
						mu.RLock()
						found ^= work(s.state, steps)
						mu.RUnlock()
					}
				}
				seen[i] = found
			}
		}
		c := crew(members)
		check("changes", s.changes, changes)
		runtime.KeepAlive(seen)
		return c
	})
}
