package main

// Goroutines that start, yield, sleep and wait.

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// yield: goroutines that do nothing but let the others run.
func yield(opts *options) {
	opts.measured(10_000_000)
	tasks := opts.Int("tasks", 2, "goroutines")
	opts.parse()
	opts.atLeast("tasks", *tasks, 1)

	newReport(opts, fmt.Sprintf("%d tasks", *tasks)).perOperation(func() cost {
		yields := make([]uint64, *tasks)
		members := make([]func(), *tasks)
		for i := range members {
			turns := share(*opts.n, *tasks, i)
			members[i] = func() {
				for range turns {
					runtime.Gosched()
				}
				yields[i] += uint64(turns)
			}
		}
		c := crew(members)
		check("yields", sum(yields), uint64(*opts.n))
		return c
	})
}

// spawn: goroutines that end at once, started one after the other or all together.
func spawn(opts *options) {
	opts.measured(1_000_000)
	mode := opts.String("mode", "one", "one: each ends before the next is started; burst: all, then waits")
	opts.parse()

	switch *mode {
	case "one":
		newReport(opts, "one by one").perOperation(func() cost { return spawnOneByOne(*opts.n) })
	case "burst":
		newReport(opts, "burst").perOperation(func() cost { return spawnBurst(*opts.n) })
	default:
		opts.refuse("--mode is one or burst")
	}
}

// spawnOneByOne waits for the result of each goroutine. A channel for all of them is cheaper than a
// channel each or a WaitGroup, and natural where a goroutine has a result.
func spawnOneByOne(n int) cost {
	results := make(chan uint64)
	var total uint64
	watch := startWatch()
	for i := range uint64(n) {
		go func() { results <- i }()
		total += <-results
	}
	c := watch.stop()
	check("sum of the results", total, below(n))
	return c
}

// spawnBurst needs no count of its own: after Add(n), Wait returns when Done has been called n times, and
// one call more would be a panic.
func spawnBurst(n int) cost {
	var done sync.WaitGroup
	watch := startWatch()
	done.Add(n)
	for range n {
		go func() { done.Done() }()
	}
	done.Wait()
	return watch.stop()
}

// skynet: a tree in which each goroutine has ten children, and the sum of the numbers at its leaves.
func skynet(opts *options) {
	opts.measured(1_000_000)
	opts.parse()
	leaves := *opts.n
	for rest := leaves; rest > 1; rest /= 10 {
		if rest%10 != 0 {
			opts.refuse("--n must be a power of 10")
		}
	}

	newReport(opts, fmt.Sprintf("%d leaves", leaves)).whole(func() cost {
		root := make(chan uint64)
		watch := startWatch()
		go grow(root, 0, uint64(leaves))
		total := <-root
		c := watch.stop()
		check("sum of the leaves", total, below(leaves))
		return c
	})
}

func grow(result chan<- uint64, first, leaves uint64) {
	if leaves == 1 {
		result <- first
		return
	}
	children := make(chan uint64)
	for i := range uint64(10) {
		go grow(children, first+i*(leaves/10), leaves/10)
	}
	var total uint64
	for range 10 {
		total += <-children
	}
	result <- total
}

// timers: goroutines that are started and sleep, each for another time between the two limits.
func timers(opts *options) {
	opts.measured(100_000)
	shortest := opts.Int("min-ms", 10, "shortest sleep")
	longest := opts.Int("max-ms", 110, "longest sleep")
	opts.parse()
	opts.atLeast("min-ms", *shortest, 0)
	opts.atLeast("max-ms", *longest, *shortest)
	lengths := *longest - *shortest + 1

	r := newReport(opts, fmt.Sprintf("%d timers", *opts.n))
	late := make([]time.Duration, *opts.n)
	round := func() cost {
		clear(late)
		var done sync.WaitGroup
		watch := startWatch()
		for i := range late {
			done.Go(func() {
				nap := time.Duration(*shortest+i%lengths) * time.Millisecond
				lay := time.Now()
				time.Sleep(nap)
				late[i] = time.Since(lay) - nap
			})
		}
		done.Wait()
		return watch.stop()
	}
	r.rounds(round, func(c cost) {
		latest := time.Duration(0)
		for i, by := range late {
			if by < 0 {
				fail("sleeper %d woke %v too early", i, -by)
			}
			latest = max(latest, by)
		}
		r.add("wall_ms", milliseconds(c.wall))
		r.add("cpu_ms", milliseconds(c.cpu))
		r.add("late_max_ms", milliseconds(latest))
	})
}

// settle is how long the last of the parked goroutines has to get from its last step into the channel.
const settle = 50 * time.Millisecond

// idleMem: what a goroutine that waits on a channel takes, beyond what the process took before.
//
// There is no warm-up, and a second round in the same process gets the memory that the first one left:
// the figure is to be taken from one round of a fresh process.
func idleMem(opts *options) {
	opts.measured(100_000)
	opts.parse()
	*opts.warmup = 0

	r := newReport(opts, fmt.Sprintf("%d tasks", *opts.n))
	before := residentMemory()
	var parked memory
	round := func() cost {
		var arrived, done sync.WaitGroup
		var released atomic.Uint64
		gate := make(chan struct{})
		task := func() {
			arrived.Done()
			<-gate
			released.Add(1)
			done.Done()
		}
		watch := startWatch()
		arrived.Add(*opts.n)
		done.Add(*opts.n)
		for range *opts.n {
			go task()
		}
		arrived.Wait()
		time.Sleep(settle)
		parked = residentMemory()
		close(gate)
		done.Wait()
		check("released goroutines", released.Load(), uint64(*opts.n))
		return watch.stop()
	}
	r.rounds(round, func(cost) {
		perTask := func(kib int64) float64 { return float64(kib*1024) / float64(*opts.n) }
		r.add("rss_bytes_per_task", perTask(parked.rss-before.rss))
		r.add("page_table_bytes_per_task", perTask(parked.pageTables-before.pageTables))
	})
}

func sum(numbers []uint64) uint64 {
	var total uint64
	for _, number := range numbers {
		total += number
	}
	return total
}
