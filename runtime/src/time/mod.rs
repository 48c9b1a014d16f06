//! Timers and tickers with channels, and functions called later.
