//! Go's way in: networks and addresses by name.
