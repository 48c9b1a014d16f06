package main

// serve-http: "Hello, World!" in plain text, by net/http.
//
// Header fields are those of TechEmpower's plaintext test: Server, Content-Type, Content-Length and
// Date, the latter two added by the package. Every path is answered alike.
//
// Of pipelined requests it has to be said that net/http serves them correctly but does nothing about
// them: one after the other, each answer written by a system call of its own, although the next
// request is already in the buffer. A pipeline saves it some reads and no writes. What batches answers
// in Go (fasthttp, gnet) is outside the standard library.

import (
	"errors"
	"net"
	"net/http"
)

var greeting = []byte("Hello, World!")

func plaintext(w http.ResponseWriter, _ *http.Request) {
	header := w.Header()
	header.Set("Server", "Go")
	header.Set("Content-Type", "text/plain")
	w.Write(greeting)
}

func serveHTTP(opts *options) {
	addr := opts.String("addr", "127.0.0.1:0", "TCP address to listen on")
	path := opts.String("unix", "", "path of a Unix socket to listen on as well")
	opts.parse()

	mux := http.NewServeMux()
	mux.HandleFunc("/", plaintext)
	server := &http.Server{Handler: mux}
	listeners := listen(*addr, *path)
	for _, l := range listeners {
		go func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				fail("%v", err)
			}
		}()
	}
	untilTerminated(listeners, &hogs{})
}
