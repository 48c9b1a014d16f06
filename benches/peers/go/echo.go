package main

// serve-echo: sends back what it receives. A goroutine and a buffer for each connection, and a loop of
// Read and Write.
//
// The buffer is on the heap (it is passed to an interface's method); it is not touched, and so not
// resident, until the first message. io.Copy would echo through a pipe with splice(2), which for short
// messages costs two system calls more and is not what a server does that looks at its data.

import (
	"errors"
	"net"
	"time"
)

const bufferSize = 4096

func serveEcho(opts *options) {
	addr := opts.String("addr", "127.0.0.1:0", "TCP address to listen on")
	path := opts.String("unix", "", "path of a Unix socket to listen on as well")
	hint := opts.Int("size-hint", 0, "size of the messages to come; a larger one than 4096 enlarges the buffers")
	var beside hogs
	beside.declare(opts)
	opts.parse()
	beside.prepare(opts)

	size := max(bufferSize, *hint)
	listeners := listen(*addr, *path)
	for _, l := range listeners {
		go accept(l, func(conn net.Conn) { echo(conn, size) })
	}
	untilTerminated(listeners, &beside)
}

// accept serves connections until the listener is closed. When the system is out of descriptors it waits
// for some to be closed, as net/http does.
func accept(l net.Listener, serve func(net.Conn)) {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			go serve(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// echo serves one connection until its peer closes or resets it. Write returns only when all is written.
func echo(conn net.Conn, size int) {
	defer conn.Close()
	buffer := make([]byte, size)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}
