//! `RwLock`: many readers or one writer.
