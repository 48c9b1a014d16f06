package main

// Messages between goroutines.

import (
	"fmt"
	"sync"
)

// pingpong: a number goes there and comes back greater by 1. An operation is a round trip.
func pingpong(opts *options) {
	opts.measured(1_000_000)
	kind := opts.String("kind", "rendezvous", "rendezvous: unbuffered channels; cap1: of capacity 1")
	opts.parse()
	capacity, ok := map[string]int{"rendezvous": 0, "cap1": 1}[*kind]
	if !ok {
		opts.refuse("--kind is rendezvous or cap1")
	}

	newReport(opts, *kind).perOperation(func() cost {
		there, back := make(chan uint64, capacity), make(chan uint64, capacity)
		var total uint64
		ping := func() {
			for i := range uint64(*opts.n) {
				there <- i
				total += <-back
			}
			close(there)
		}
		pong := func() {
			for number := range there {
				back <- number + 1
			}
		}
		c := crew([]func(){ping, pong})
		check("sum of the answers", total, below(*opts.n+1))
		return c
	})
}

// chanMPMC: many senders and many receivers of one channel. An operation is a message.
func chanMPMC(opts *options) {
	opts.measured(4_000_000)
	producers := opts.Int("producers", 4, "goroutines that send")
	consumers := opts.Int("consumers", 4, "goroutines that receive")
	capacity := opts.Int("cap", 128, "the channel's capacity")
	opts.parse()
	opts.atLeast("producers", *producers, 1)
	opts.atLeast("consumers", *consumers, 1)
	opts.atLeast("cap", *capacity, 0)

	variant := fmt.Sprintf("%d:%d cap %d", *producers, *consumers, *capacity)
	newReport(opts, variant).perOperation(func() cost {
		messages := make(chan uint64, *capacity)
		var senders sync.WaitGroup
		senders.Add(*producers)
		var members []func()
		var sent uint64
		for p := range *producers {
			quota := share(*opts.n, *producers, p)
			sent += below(quota)
			members = append(members, func() {
				for i := range uint64(quota) {
					messages <- i
				}
				senders.Done()
			})
		}
		sums, counts := make([]uint64, *consumers), make([]uint64, *consumers)
		for c := range *consumers {
			members = append(members, func() {
				var total, count uint64
				for number := range messages {
					total += number
					count++
				}
				sums[c], counts[c] = total, count
			})
		}
		go func() {
			senders.Wait()
			close(messages)
		}()
		c := crew(members)
		check("received messages", sum(counts), uint64(*opts.n))
		check("sum of the messages", sum(sums), sent)
		return c
	})
}

// An arms waits for a message on any of that many channels.
type arms func(channels []chan uint64) (number uint64, ok bool)

// byArms are the numbers of arms that there are: a select statement has its cases in the source, and
// reflect.Select, which takes them at run time, is not what anybody would measure.
var byArms = map[int]arms{2: select2, 4: select4, 8: select8}

// selects: a round trip in which one side waits for a message on any of several channels. The other
// side sends on them in turn and waits for the answer on one more. An operation is a round trip.
func selects(opts *options) {
	opts.measured(1_000_000)
	count := opts.Int("arms", 2, "channels to select from: 2, 4 or 8")
	opts.parse()
	receive, ok := byArms[*count]
	if !ok {
		unsupported(fmt.Sprintf("select with %d arms", *count))
	}

	newReport(opts, fmt.Sprintf("%d arms", *count)).perOperation(func() cost {
		channels := make([]chan uint64, *count)
		for i := range channels {
			channels[i] = make(chan uint64)
		}
		back := make(chan uint64)
		var total uint64
		ping := func() {
			arm := 0
			for i := range uint64(*opts.n) {
				channels[arm] <- i
				total += <-back
				if arm++; arm == len(channels) {
					arm = 0
				}
			}
			close(channels[arm])
		}
		pong := func() {
			for {
				number, ok := receive(channels)
				if !ok {
					return
				}
				back <- number + 1
			}
		}
		c := crew([]func(){ping, pong})
		check("sum of the answers", total, below(*opts.n+1))
		return c
	})
}

func select2(c []chan uint64) (number uint64, ok bool) {
	select {
	case number, ok = <-c[0]:
	case number, ok = <-c[1]:
	}
	return
}

func select4(c []chan uint64) (number uint64, ok bool) {
	select {
	case number, ok = <-c[0]:
	case number, ok = <-c[1]:
	case number, ok = <-c[2]:
	case number, ok = <-c[3]:
	}
	return
}

func select8(c []chan uint64) (number uint64, ok bool) {
	select {
	case number, ok = <-c[0]:
	case number, ok = <-c[1]:
	case number, ok = <-c[2]:
	case number, ok = <-c[3]:
	case number, ok = <-c[4]:
	case number, ok = <-c[5]:
	case number, ok = <-c[6]:
	case number, ok = <-c[7]:
	}
	return
}
