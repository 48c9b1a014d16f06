//! `Group`: goroutines of which the first error counts.
