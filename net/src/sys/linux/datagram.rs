//! Messages with addresses: UDP and Unix datagrams.
