//! Unix sockets: std's types, parking instead of blocking.
