//! `Semaphore`: a number of permits.
