//! What channel operations return when they don't succeed.
//!
//! | operation | error | says |
//! | --- | --- | --- |
//! | `send` | [`SendError<T>`] | disconnected |
//! | `try_send` | [`TrySendError<T>`] | full, or disconnected |
//! | `send_timeout`, `send_deadline` | [`SendTimeoutError<T>`] | timed out, or disconnected |
//! | `recv` | [`RecvError`] | disconnected, and nothing is left in it |
//! | `try_recv` | [`TryRecvError`] | empty, or as for `recv` |
//! | `recv_timeout`, `recv_deadline` | [`RecvTimeoutError`] | timed out, or as for `recv` |
//! | `Select::try_select` | [`TrySelectError`] | no operation is ready |
//! | `Select::select_timeout`, `select_deadline` | [`SelectTimeoutError`] | none became ready in time |
//! | `Select::try_ready` | [`TryReadyError`] | no operation is ready |
//! | `Select::ready_timeout`, `ready_deadline` | [`ReadyTimeoutError`] | none became ready in time |
//!
//! Names, variants, methods and the texts of `Display` are crossbeam-channel's, so that code written
//! for it compiles and logs the same. Three things are wider here: all types implement
//! [`Error`] (there, not those of `ready`), whatever `T` is (there, `T: Send`), and the `Debug` of a
//! failed send names the variant, unquoted.
//!
//! A message that was not sent is never lost: it comes back in the error. For that reason the `Debug`
//! of these types asks nothing of `T` and shows nothing of it, so `.unwrap()` works with any message.
//!
//! There are three shapes (a word, a reason, a reason with the message); a macro each writes the types
//! out. One generic type for all was rejected: the variants of each operation are part of its
//! signature, and users match on them.

use std::error::Error;
use std::fmt;

/// An error without variants: the operation can fail in one way only.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident = $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name;

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad($text)
            }
        }

        impl Error for $name {}
    };
}

/// An error of a receive: not yet, or never again.
macro_rules! reason {
    (
        $(#[$doc:meta])* $name:ident,
        $(#[$doc_later:meta])* $later:ident = $text_later:literal,
        $(#[$doc_is_later:meta])* $is_later:ident,
        $(#[$doc_never:meta])* Disconnected = $text_never:literal,
        $(#[$doc_is_never:meta])* is_disconnected
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $(#[$doc_later])*
            $later,
            $(#[$doc_never])*
            Disconnected,
        }

        impl $name {
            $(#[$doc_is_later])*
            pub fn $is_later(&self) -> bool {
                matches!(self, Self::$later)
            }

            $(#[$doc_is_never])*
            pub fn is_disconnected(&self) -> bool {
                matches!(self, Self::Disconnected)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    Self::$later => $text_later,
                    Self::Disconnected => $text_never,
                })
            }
        }

        impl Error for $name {}

        impl From<RecvError> for $name {
            fn from(RecvError: RecvError) -> Self {
                Self::Disconnected
            }
        }
    };
}

/// An error of a send: not yet, or never again, and the message back.
macro_rules! returned {
    (
        $(#[$doc:meta])* $name:ident,
        $(#[$doc_later:meta])* $later:ident = $text_later:literal,
        $(#[$doc_is_later:meta])* $is_later:ident,
        $(#[$doc_never:meta])* Disconnected = $text_never:literal,
        $(#[$doc_is_never:meta])* is_disconnected,
        $(#[$doc_into:meta])* into_inner
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum $name<T> {
            $(#[$doc_later])*
            $later(T),
            $(#[$doc_never])*
            Disconnected(T),
        }

        impl<T> $name<T> {
            $(#[$doc_into])*
            pub fn into_inner(self) -> T {
                match self {
                    Self::$later(message) | Self::Disconnected(message) => message,
                }
            }

            $(#[$doc_is_later])*
            pub fn $is_later(&self) -> bool {
                matches!(self, Self::$later(_))
            }

            $(#[$doc_is_never])*
            pub fn is_disconnected(&self) -> bool {
                matches!(self, Self::Disconnected(_))
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    Self::$later(_) => concat!(stringify!($later), "(..)"),
                    Self::Disconnected(_) => "Disconnected(..)",
                })
            }
        }

        impl<T> fmt::Display for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    Self::$later(_) => $text_later,
                    Self::Disconnected(_) => $text_never,
                })
            }
        }

        impl<T> Error for $name<T> {}

        impl<T> From<SendError<T>> for $name<T> {
            fn from(SendError(message): SendError<T>) -> Self {
                Self::Disconnected(message)
            }
        }
    };
}

/// The message could not be sent: every receiver is gone. It is in here.
///
/// Returned by [`Sender::send`](super::Sender::send). Mirrors crossbeam-channel's type of this name,
/// and [`std::sync::mpsc::SendError`].
///
/// ```
/// use corio::channel::{SendError, unbounded};
///
/// let (tx, rx) = unbounded();
/// drop(rx);
/// assert_eq!(tx.send("late"), Err(SendError("late")));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

impl<T> SendError<T> {
    /// The message that was not sent.
    ///
    /// ```
    /// # let (tx, rx) = corio::channel::bounded(1);
    /// # drop(rx);
    /// let error = tx.send(String::from("late")).unwrap_err();
    /// assert_eq!(error.into_inner(), "late");
    /// ```
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("sending on a disconnected channel")
    }
}

impl<T> Error for SendError<T> {}

returned! {
    /// The message could not be sent at once. It is in here.
    ///
    /// Returned by [`Sender::try_send`](super::Sender::try_send). Mirrors crossbeam-channel's type of
    /// this name, and [`std::sync::mpsc::TrySendError`].
    ///
    /// ```
    /// use corio::channel::{TrySendError, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// tx.send(1).unwrap();
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// drop(rx);
    /// assert_eq!(tx.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    TrySendError,
    /// There is no room. In a channel of capacity 0: no receiver is waiting.
    Full = "sending on a full channel",
    /// Whether there was no room: a later attempt may succeed.
    ///
    /// ```
    /// let (tx, _rx) = corio::channel::bounded(0);
    /// assert!(tx.try_send(1).unwrap_err().is_full());
    /// ```
    is_full,
    /// Every receiver is gone.
    Disconnected = "sending on a disconnected channel",
    /// Whether every receiver is gone: no attempt will ever succeed.
    ///
    /// ```
    /// let (tx, _) = corio::channel::bounded(1);
    /// assert!(tx.try_send(1).unwrap_err().is_disconnected());
    /// ```
    is_disconnected,
    /// The message that was not sent.
    ///
    /// ```
    /// let (tx, _rx) = corio::channel::bounded(0);
    /// assert_eq!(tx.try_send("again").unwrap_err().into_inner(), "again");
    /// ```
    into_inner
}

returned! {
    /// The message could not be sent in time. It is in here.
    ///
    /// Returned by [`Sender::send_timeout`](super::Sender::send_timeout) and
    /// [`Sender::send_deadline`](super::Sender::send_deadline). Mirrors crossbeam-channel's type of
    /// this name.
    ///
    /// ```
    /// use corio::channel::{SendTimeoutError, bounded};
    /// use std::time::Duration;
    ///
    /// let (tx, rx) = bounded(1);
    /// tx.send(1).unwrap();
    /// let soon = Duration::from_millis(1);
    /// assert_eq!(tx.send_timeout(2, soon), Err(SendTimeoutError::Timeout(2)));
    /// drop(rx);
    /// assert_eq!(tx.send_timeout(3, soon), Err(SendTimeoutError::Disconnected(3)));
    /// ```
    SendTimeoutError,
    /// There was no room in time. In a channel of capacity 0: no receiver came.
    Timeout = "timed out waiting on send operation",
    /// Whether the time was up: a later attempt may succeed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (tx, _rx) = corio::channel::bounded(0);
    /// let error = tx.send_timeout(1, Duration::from_millis(1)).unwrap_err();
    /// assert!(error.is_timeout());
    /// ```
    is_timeout,
    /// Every receiver is gone.
    Disconnected = "sending on a disconnected channel",
    /// Whether every receiver is gone: no attempt will ever succeed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (tx, _) = corio::channel::bounded(0);
    /// let error = tx.send_timeout(1, Duration::from_secs(60)).unwrap_err();
    /// assert!(error.is_disconnected());
    /// ```
    is_disconnected,
    /// The message that was not sent.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (tx, _rx) = corio::channel::bounded(0);
    /// let error = tx.send_timeout("again", Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(error.into_inner(), "again");
    /// ```
    into_inner
}

word! {
    /// Nothing can be received any more: every sender is gone and every message was taken.
    ///
    /// Returned by [`Receiver::recv`](super::Receiver::recv). Mirrors crossbeam-channel's type of this
    /// name, and [`std::sync::mpsc::RecvError`].
    ///
    /// ```
    /// use corio::channel::{RecvError, unbounded};
    ///
    /// let (tx, rx) = unbounded();
    /// tx.send(1).unwrap();
    /// drop(tx);
    /// assert_eq!(rx.recv(), Ok(1)); // what was sent is still delivered
    /// assert_eq!(rx.recv(), Err(RecvError));
    /// ```
    RecvError = "receiving on an empty and disconnected channel"
}

reason! {
    /// Nothing could be received at once.
    ///
    /// Returned by [`Receiver::try_recv`](super::Receiver::try_recv). Mirrors crossbeam-channel's type
    /// of this name, and [`std::sync::mpsc::TryRecvError`].
    ///
    /// ```
    /// use corio::channel::{TryRecvError, unbounded};
    ///
    /// let (tx, rx) = unbounded::<i32>();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    TryRecvError,
    /// There is no message. In a channel of capacity 0: no sender is waiting.
    Empty = "receiving on an empty channel",
    /// Whether there was no message: a later attempt may succeed.
    ///
    /// ```
    /// let (_tx, rx) = corio::channel::unbounded::<i32>();
    /// assert!(rx.try_recv().unwrap_err().is_empty());
    /// ```
    is_empty,
    /// Every sender is gone and every message was taken.
    Disconnected = "receiving on an empty and disconnected channel",
    /// Whether every sender is gone, too: no attempt will ever succeed.
    ///
    /// ```
    /// let (_, rx) = corio::channel::unbounded::<i32>();
    /// assert!(rx.try_recv().unwrap_err().is_disconnected());
    /// ```
    is_disconnected
}

reason! {
    /// Nothing could be received in time.
    ///
    /// Returned by [`Receiver::recv_timeout`](super::Receiver::recv_timeout) and
    /// [`Receiver::recv_deadline`](super::Receiver::recv_deadline). Mirrors crossbeam-channel's type of
    /// this name, and [`std::sync::mpsc::RecvTimeoutError`].
    ///
    /// ```
    /// use corio::channel::{RecvTimeoutError, unbounded};
    /// use std::time::Duration;
    ///
    /// let (tx, rx) = unbounded::<i32>();
    /// let soon = Duration::from_millis(1);
    /// assert_eq!(rx.recv_timeout(soon), Err(RecvTimeoutError::Timeout));
    /// drop(tx);
    /// assert_eq!(rx.recv_timeout(soon), Err(RecvTimeoutError::Disconnected));
    /// ```
    RecvTimeoutError,
    /// No message came in time.
    Timeout = "timed out waiting on receive operation",
    /// Whether the time was up: a later attempt may succeed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (_tx, rx) = corio::channel::unbounded::<i32>();
    /// let error = rx.recv_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert!(error.is_timeout());
    /// ```
    is_timeout,
    /// Every sender is gone and every message was taken.
    Disconnected = "channel is empty and disconnected",
    /// Whether every sender is gone, too: no attempt will ever succeed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (_, rx) = corio::channel::unbounded::<i32>();
    /// let error = rx.recv_timeout(Duration::from_secs(60)).unwrap_err();
    /// assert!(error.is_disconnected());
    /// ```
    is_disconnected
}

word! {
    /// No operation was ready at once.
    ///
    /// Returned by [`Select::try_select`](super::Select::try_select). Mirrors crossbeam-channel's type
    /// of this name.
    ///
    /// ```
    /// use corio::channel::{Select, TrySelectError, never};
    ///
    /// let rx = never::<i32>();
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert_eq!(select.try_select().unwrap_err(), TrySelectError);
    /// ```
    TrySelectError = "all operations in select would block"
}

word! {
    /// No operation became ready in time.
    ///
    /// Returned by [`Select::select_timeout`](super::Select::select_timeout) and
    /// [`Select::select_deadline`](super::Select::select_deadline). Mirrors crossbeam-channel's type of
    /// this name.
    ///
    /// ```
    /// use corio::channel::{Select, SelectTimeoutError, never};
    /// use std::time::Duration;
    ///
    /// let rx = never::<i32>();
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// let soon = Duration::from_millis(1);
    /// assert_eq!(select.select_timeout(soon).unwrap_err(), SelectTimeoutError);
    /// ```
    SelectTimeoutError = "timed out waiting on select"
}

word! {
    /// No operation was ready at once.
    ///
    /// Returned by [`Select::try_ready`](super::Select::try_ready). Mirrors crossbeam-channel's type of
    /// this name.
    ///
    /// ```
    /// use corio::channel::{Select, TryReadyError, never};
    ///
    /// let rx = never::<i32>();
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert_eq!(select.try_ready(), Err(TryReadyError));
    /// ```
    TryReadyError = "all operations in select would block"
}

word! {
    /// No operation became ready in time.
    ///
    /// Returned by [`Select::ready_timeout`](super::Select::ready_timeout) and
    /// [`Select::ready_deadline`](super::Select::ready_deadline). Mirrors crossbeam-channel's type of
    /// this name.
    ///
    /// ```
    /// use corio::channel::{ReadyTimeoutError, Select, never};
    /// use std::time::Duration;
    ///
    /// let rx = never::<i32>();
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// let soon = Duration::from_millis(1);
    /// assert_eq!(select.ready_timeout(soon), Err(ReadyTimeoutError));
    /// ```
    ReadyTimeoutError = "timed out waiting on select"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message that is neither `Debug` nor `Clone` nor `Send`.
    struct Opaque(#[expect(dead_code)] *const u8);

    const OPAQUE: Opaque = Opaque(std::ptr::null());

    fn shown(error: impl Error) -> (String, String) {
        (error.to_string(), format!("{error:?}"))
    }

    fn pair(display: &str, debug: &str) -> (String, String) {
        (display.to_owned(), debug.to_owned())
    }

    #[test]
    fn a_failed_send_is_an_error_whatever_the_message() {
        let gone = "sending on a disconnected channel";
        assert_eq!(shown(SendError(OPAQUE)), pair(gone, "SendError(..)"));
        assert_eq!(
            shown(TrySendError::Full(OPAQUE)),
            pair("sending on a full channel", "Full(..)")
        );
        assert_eq!(
            shown(TrySendError::Disconnected(OPAQUE)),
            pair(gone, "Disconnected(..)")
        );
        assert_eq!(
            shown(SendTimeoutError::Timeout(OPAQUE)),
            pair("timed out waiting on send operation", "Timeout(..)")
        );
        assert_eq!(
            shown(SendTimeoutError::Disconnected(OPAQUE)),
            pair(gone, "Disconnected(..)")
        );
    }

    #[test]
    fn texts_of_receive_and_select() {
        let gone = "receiving on an empty and disconnected channel";
        assert_eq!(shown(RecvError), pair(gone, "RecvError"));
        assert_eq!(
            shown(TryRecvError::Empty),
            pair("receiving on an empty channel", "Empty")
        );
        assert_eq!(
            shown(TryRecvError::Disconnected),
            pair(gone, "Disconnected")
        );
        assert_eq!(
            shown(RecvTimeoutError::Timeout),
            pair("timed out waiting on receive operation", "Timeout")
        );
        assert_eq!(
            shown(RecvTimeoutError::Disconnected),
            pair("channel is empty and disconnected", "Disconnected")
        );
        let (none, late) = (
            "all operations in select would block",
            "timed out waiting on select",
        );
        assert_eq!(shown(TrySelectError), pair(none, "TrySelectError"));
        assert_eq!(shown(SelectTimeoutError), pair(late, "SelectTimeoutError"));
        assert_eq!(shown(TryReadyError), pair(none, "TryReadyError"));
        assert_eq!(shown(ReadyTimeoutError), pair(late, "ReadyTimeoutError"));
    }

    #[test]
    fn the_message_comes_back() {
        assert_eq!(SendError(1).into_inner(), 1);
        for error in [TrySendError::Full(2), TrySendError::Disconnected(2)] {
            assert_eq!(error.into_inner(), 2);
        }
        for error in [
            SendTimeoutError::Timeout(3),
            SendTimeoutError::Disconnected(3),
        ] {
            assert_eq!(error.into_inner(), 3);
        }
    }

    #[test]
    fn a_plain_error_becomes_the_disconnected_one() {
        assert_eq!(
            TrySendError::from(SendError(1)),
            TrySendError::Disconnected(1)
        );
        assert_eq!(
            SendTimeoutError::from(SendError(1)),
            SendTimeoutError::Disconnected(1)
        );
        assert_eq!(TryRecvError::from(RecvError), TryRecvError::Disconnected);
        assert_eq!(
            RecvTimeoutError::from(RecvError),
            RecvTimeoutError::Disconnected
        );
    }

    #[test]
    fn the_questions_tell_the_variants_apart() {
        let (full, gone) = (TrySendError::Full(()), TrySendError::Disconnected(()));
        assert!(full.is_full() && !full.is_disconnected());
        assert!(gone.is_disconnected() && !gone.is_full());

        let (late, gone) = (
            SendTimeoutError::Timeout(()),
            SendTimeoutError::Disconnected(()),
        );
        assert!(late.is_timeout() && !late.is_disconnected());
        assert!(gone.is_disconnected() && !gone.is_timeout());

        let (empty, gone) = (TryRecvError::Empty, TryRecvError::Disconnected);
        assert!(empty.is_empty() && !empty.is_disconnected());
        assert!(gone.is_disconnected() && !gone.is_empty());

        let (late, gone) = (RecvTimeoutError::Timeout, RecvTimeoutError::Disconnected);
        assert!(late.is_timeout() && !late.is_disconnected());
        assert!(gone.is_disconnected() && !gone.is_timeout());
    }
}
