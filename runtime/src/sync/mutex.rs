//! `Mutex`: mutual exclusion between goroutines and threads.
