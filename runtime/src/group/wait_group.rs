//! `WaitGroup`: waiting for a number of goroutines.
