//! Help for tests: no goroutine left behind.
