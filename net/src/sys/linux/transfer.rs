//! Moving bytes between descriptors without a buffer of ours: splice and sendfile.
