//! `WorkerPool`: a bounded number of goroutines that run submitted functions.
