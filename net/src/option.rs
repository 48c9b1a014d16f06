//! Socket options beyond those of std.
