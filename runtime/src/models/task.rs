//! The names of `task` that `group::wait_group` mentions. No model starts goroutines through it.

/// As `task::builder`.
pub(crate) mod builder {
    use super::join::JoinHandle;

    pub(crate) fn spawn<F: FnOnce() -> T, T>(_: F) -> JoinHandle<T> {
        unimplemented!("models start threads")
    }
}

/// As `task::join`.
pub(crate) mod join {
    use std::marker::PhantomData;

    #[derive(Debug)]
    pub struct JoinHandle<T>(PhantomData<T>);
}
