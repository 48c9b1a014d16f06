//! `Barrier`: many meet.
