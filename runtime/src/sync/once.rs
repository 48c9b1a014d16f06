//! `Once`, `OnceLock`, `LazyLock`: what happens once.
