// Two goroutines play ping-pong. Compare examples/pingpong.rs.
package main

import (
	"flag"
	"fmt"
	"time"
)

type ball struct{ strokes uint64 }

func main() {
	strokes := flag.Uint64("strokes", 2_000_000, "strokes of the whole game")
	flag.Parse()
	ping, pong := make(chan ball), make(chan ball)
	struck := make(chan uint64, 2)
	start := time.Now()
	// Two channels for the results, so that we know whose is whose.
	pongStruck := make(chan uint64, 1)
	go play(ping, pong, *strokes, struck)
	go play(pong, ping, *strokes, pongStruck)
	ping <- ball{}
	a, b := <-struck, <-pongStruck
	round := time.Since(start) / time.Duration(max(*strokes/2, 1))
	fmt.Printf("ping struck %d times, pong %d times\n", a, b)
	fmt.Printf("%d ns a round\n", round.Nanoseconds())
}

// play strikes every ball that comes, until the game is over.
func play(mine <-chan ball, theirs chan<- ball, strokes uint64, result chan<- uint64) {
	defer close(theirs)
	struck := uint64(0)
	for b := range mine {
		if b.strokes == strokes {
			break
		}
		b.strokes++
		struck++
		theirs <- b
	}
	result <- struck
}
