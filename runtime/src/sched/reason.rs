//! Why a goroutine is parked, for dumps and the deadlock report.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a goroutine is parked. Shown in dumps and in the deadlock report, in Go's words where
        /// Go has the same wait.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u32)]
        pub enum WaitReason {
            $($(#[$doc])* $name,)*
        }

        const ALL: &[WaitReason] = &[$(WaitReason::$name),*];

        impl WaitReason {
            /// The text that dumps show.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(WaitReason::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// Not parked, or not known.
    #[default]
    None = "",
    /// In [`sleep`](crate::sleep()) or [`sleep_until`](crate::sleep_until).
    Sleep = "sleep",
    /// In [`park`](crate::park()) or [`park_timeout`](crate::park_timeout).
    Park = "park",
    /// In [`JoinHandle::join`](crate::JoinHandle::join).
    Join = "join",
    /// At the end of a [`scope`](crate::scope()).
    Scope = "scope",
    /// In [`block_on`](crate::block_on), while the future is pending.
    BlockOn = "block on future",
    /// Sending to a channel.
    ChanSend = "chan send",
    /// Receiving from a channel.
    ChanReceive = "chan receive",
    /// In a select.
    Select = "select",
    /// Waiting for a lock.
    Mutex = "mutex lock",
    /// Waiting to read-lock.
    RwLockRead = "rwlock read lock",
    /// Waiting to write-lock.
    RwLockWrite = "rwlock write lock",
    /// Waiting on a condition variable.
    Condvar = "condvar wait",
    /// Waiting for permits.
    Semaphore = "semaphore acquire",
    /// Waiting for a group of goroutines.
    WaitGroup = "wait group wait",
    /// Waiting for somebody else's initialisation.
    Once = "once",
    /// Waiting for the others at a barrier.
    Barrier = "barrier wait",
    /// A worker without work.
    Worker = "idle worker",
    /// Accepting a connection.
    NetAccept = "net accept",
    /// Connecting.
    NetConnect = "net connect",
    /// Reading from a socket.
    NetRead = "net read",
    /// Writing to a socket.
    NetWrite = "net write",
    /// Waiting for another operation on the same socket and direction.
    NetLock = "net lock",
    /// Waiting for a descriptor.
    Io = "io wait",
    /// Waiting for memory for its stack.
    NeedsStack = "needs stack",
    /// Waiting for a signal.
    Signal = "signal",
}

impl WaitReason {
    pub(crate) fn from_u32(raw: u32) -> WaitReason {
        ALL.get(raw as usize).copied().unwrap_or_default()
    }

    /// Can something outside this process's goroutines end the wait: the clock, the network, a
    /// signal? Then a program in which everybody waits is not dead.
    pub(crate) fn ends_from_outside(self) -> bool {
        matches!(
            self,
            WaitReason::Sleep
                | WaitReason::NetAccept
                | WaitReason::NetConnect
                | WaitReason::NetRead
                | WaitReason::NetWrite
                | WaitReason::Io
                | WaitReason::Signal
        )
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
