// The dining philosophers. Compare examples/dining.rs.
package main

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
)

var names = []string{"Aristotle", "Kant", "Spinoza", "Marx", "Russell"}

// A fork counts how often it was used.
type fork struct {
	sync.Mutex
	uses uint64
}

type table struct {
	forks  []fork
	waiter chan struct{}
}

func main() {
	meals := flag.Uint64("meals", 1000, "meals of each philosopher")
	flag.Parse()
	t := &table{forks: make([]fork, len(names)), waiter: make(chan struct{}, len(names)-1)}
	eaten := make([]uint64, len(names))
	var guests sync.WaitGroup
	for seat := range names {
		guests.Go(func() { eaten[seat] = t.dine(seat, *meals) })
	}
	guests.Wait()
	for seat, name := range names {
		fmt.Printf("%s ate %d times\n", name, eaten[seat])
	}
	for seat := range t.forks {
		fmt.Printf("fork %d was used %d times\n", seat, t.forks[seat].uses)
	}
}

// dine eats and thinks; it returns how often.
func (t *table) dine(seat int, meals uint64) uint64 {
	eaten := uint64(0)
	for eaten < meals {
		t.waiter <- struct{}{}
		left, right := &t.forks[seat], &t.forks[(seat+1)%len(names)]
		left.Lock()
		// Makes the bad case likely: others may take their left forks now.
		runtime.Gosched()
		right.Lock()
		left.uses++
		right.uses++
		eaten++
		right.Unlock()
		left.Unlock()
		<-t.waiter
	}
	return eaten
}
