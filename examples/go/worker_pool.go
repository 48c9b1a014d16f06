// A fixed number of workers share a queue of jobs. Compare examples/worker_pool.rs.
package main

import (
	"flag"
	"fmt"
	"sort"
	"sync"
)

type result struct{ job, length uint64 }

func main() {
	workers := flag.Int("workers", 3, "goroutines that work")
	count := flag.Uint64("jobs", 10, "jobs, numbered from 1")
	flag.Parse()
	jobs := make(chan uint64, 16)
	results := make(chan result, 16)
	var group sync.WaitGroup
	for i := 0; i < max(*workers, 1); i++ {
		group.Go(func() { work(jobs, results) })
	}
	go func() {
		for job := uint64(1); job <= *count; job++ {
			jobs <- job
		}
		close(jobs)
		group.Wait()
		close(results)
	}()
	var lengths []result
	for r := range results {
		lengths = append(lengths, r)
	}
	sort.Slice(lengths, func(a, b int) bool { return lengths[a].job < lengths[b].job })
	for _, r := range lengths {
		fmt.Printf("job %d: %d steps\n", r.job, r.length)
	}
}

// work takes jobs until there are no more.
func work(jobs <-chan uint64, results chan<- result) {
	for job := range jobs {
		results <- result{job, collatz(job)}
	}
}

// collatz returns the steps until 1.
func collatz(n uint64) uint64 {
	steps := uint64(0)
	for n != 1 {
		if n%2 == 0 {
			n /= 2
		} else {
			n = 3*n + 1
		}
		steps++
	}
	return steps
}
