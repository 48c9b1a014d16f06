//! Pipes between goroutines, threads and processes.
