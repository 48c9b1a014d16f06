//! Connections kept for the next request.
