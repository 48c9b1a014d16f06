// The prime sieve: a goroutine per prime. Compare examples/prime_sieve.rs.
package main

import (
	"flag"
	"fmt"
)

func main() {
	count := flag.Int("count", 100, "how many")
	flag.Parse()
	candidates := make(chan uint64)
	go generate(candidates)
	for i := 0; i < *count; i++ {
		prime := <-candidates
		fmt.Println(prime)
		next := make(chan uint64)
		go sieve(candidates, next, prime)
		candidates = next
	}
}

// generate sends 2, 3, 4 and so on, for ever.
func generate(numbers chan<- uint64) {
	for n := uint64(2); ; n++ {
		numbers <- n
	}
}

// sieve passes on what prime does not divide, for ever.
func sieve(candidates <-chan uint64, passedOn chan<- uint64, prime uint64) {
	for n := range candidates {
		if n%prime != 0 {
			passedOn <- n
		}
	}
}
