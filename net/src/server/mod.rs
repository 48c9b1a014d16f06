//! A server as one runs it in production.
