// One publisher, many subscribers. Compare examples/pubsub.rs.
package main

import (
	"flag"
	"fmt"
	"sync"
)

// A topic passes each message on to all who have subscribed.
type topic struct {
	mu          sync.Mutex
	subscribers []*subscriber
}

type subscriber struct {
	name     string
	messages chan uint64
	missed   int
}

func (t *topic) subscribe(name string, buffer int) <-chan uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &subscriber{name: name, messages: make(chan uint64, buffer)}
	t.subscribers = append(t.subscribers, s)
	return s.messages
}

// publish never waits.
func (t *topic) publish(message uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.subscribers {
		select {
		case s.messages <- message:
		default:
			s.missed++
		}
	}
}

// close ends all subscriptions.
func (t *topic) close() []*subscriber {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.subscribers {
		close(s.messages)
	}
	return t.subscribers
}

func main() {
	messages := flag.Uint64("messages", 1000, "messages to publish")
	buffer := flag.Int("buffer", 16, "messages that wait for one subscriber at most")
	flag.Parse()
	var t topic
	start, acknowledge := make(chan struct{}), make(chan struct{})
	received := []chan int{make(chan int), make(chan int)}
	quick, slow := t.subscribe("quick", *buffer), t.subscribe("slow", *buffer)
	go func() {
		n := 0
		for range quick {
			n++
			acknowledge <- struct{}{}
		}
		received[0] <- n
	}()
	go func() {
		<-start
		n := 0
		for range slow {
			n++
		}
		received[1] <- n
	}()
	for message := uint64(0); message < *messages; message++ {
		t.publish(message)
		// Only so that the quick one is quick on any machine.
		<-acknowledge
	}
	close(start)
	for i, s := range t.close() {
		fmt.Printf("%s: received %d, missed %d\n", s.name, <-received[i], s.missed)
	}
}
