//! Connecting to the first of several addresses that answers: IPv6 and IPv4 raced.
