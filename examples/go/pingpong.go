// Two goroutines play ping-pong. Compare examples/pingpong.rs.
package main

import (
	"flag"
	"fmt"
	"sync"
	"time"
)

type ball struct{ strokes uint64 }

func main() {
	strokes := flag.Uint64("strokes", 2_000_000, "strokes of the whole game")
	flag.Parse()
	ping, pong := make(chan ball), make(chan ball)
	var pingStruck, pongStruck uint64
	var game sync.WaitGroup
	start := time.Now()
	game.Go(func() { pingStruck = play(ping, pong, *strokes) })
	game.Go(func() { pongStruck = play(pong, ping, *strokes) })
	ping <- ball{}
	game.Wait()
	round := time.Since(start) / time.Duration(max(*strokes/2, 1))
	fmt.Printf("ping struck %d times, pong %d times\n", pingStruck, pongStruck)
	fmt.Printf("%d ns a round\n", round.Nanoseconds())
}

// play strikes every ball that comes, until the game is over; it returns how many.
func play(mine <-chan ball, theirs chan<- ball, strokes uint64) uint64 {
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
	return struck
}
