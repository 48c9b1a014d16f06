//! `ReentrantMutex`: a lock that its owner, a goroutine, may take again.
