//! `Condvar`: waiting for a condition under a lock.
