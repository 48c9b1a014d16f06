//! What all sockets have in common, written once: handles, deadlines, close, conversions, `Read` and `Write`.
