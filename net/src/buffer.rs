//! Buffers that are taken when there is something to read, and not before.
