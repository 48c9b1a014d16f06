//! Goroutine-local values.
