//! Signals as a channel.
