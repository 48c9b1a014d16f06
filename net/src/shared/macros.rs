//! Methods and traits that all socket types have: see [`shared`](super).
//!
//! | macro | gives | for |
//! | --- | --- | --- |
//! | `clones`, `close`, `take_error`, `nonblocking` | one method, or two | all |
//! | `timeouts`, `deadlines` | the four of std, the three of Go | all but listeners |
//! | `deadline` | `set_deadline` | listeners |
//! | `wait_readable`, `wait_writable` | one method | what is read, what is written |
//! | `into_std` | `into_std` | all that std has |
//! | `descriptor` | `HasSocket`, `open`, `AsFd`, `AsRawFd` | all |
//! | `conversions` | `TryFrom` from and to std's type and `OwnedFd` | all that std has |
//! | `debug` | `Debug` | all |
//! | `reading`, `writing` | `Read`, `Write`, for `T` and `&T` | streams |
//! | `by_reference` | `Read` and `Write` for `T`, by `&T`'s | what leads to a stream |
//!
//! The methods' macros are called inside of an `impl`, where a type's own documentation can be added;
//! the traits' beside the type. They find the socket by [`HasSocket`](super::HasSocket).

// ---- methods: to be called in an `impl` ----

/// `try_clone`, for a type with these fields.
macro_rules! clones {
    ($($field:ident),+) => {
        /// Another handle to the same socket: they share everything, also timeouts, deadlines and
        /// being closed.
        ///
        /// # Errors
        ///
        /// None; the result is std's signature.
        pub fn try_clone(&self) -> std::io::Result<Self> {
            Ok(Self {
                $($field: self.$field.clone(),)+
            })
        }
    };
}

/// `close`; the documentation begins with what is given.
macro_rules! close {
    ($(#[$doc:meta])+) => {
        $(#[$doc])+
        ///
        /// # Errors
        ///
        /// If it is closed already.
        pub fn close(&self) -> std::io::Result<()> {
            $crate::shared::HasSocket::socket(self).close()
        }
    };
}

/// `take_error`.
macro_rules! take_error {
    () => {
        /// Takes the error that is pending on the socket.
        ///
        /// # Errors
        ///
        /// If it can't be asked for, for instance after [`close`](Self::close).
        pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
            $crate::shared::HasSocket::socket(self)
                .control(|fd| socket2::SockRef::from(&fd).take_error())
        }
    };
}

/// `set_nonblocking`; the documentation begins with what is given.
macro_rules! nonblocking {
    ($(#[$doc:meta])+) => {
        $(#[$doc])+
        ///
        /// A setting of this crate's: for the system, the socket is non-blocking always.
        ///
        /// # Errors
        ///
        /// After [`close`](Self::close).
        pub fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
            $crate::shared::HasSocket::socket(self).set_nonblocking(nonblocking)
        }
    };
}

/// Timeouts of reads and writes.
macro_rules! timeouts {
    () => {
        /// Sets how long a read may take, from its next call on; `None` for ever.
        ///
        /// # Errors
        ///
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a zero timeout; closed.
        pub fn set_read_timeout(
            &self,
            timeout: Option<std::time::Duration>,
        ) -> std::io::Result<()> {
            $crate::shared::HasSocket::socket(self).set_timeout($crate::socket::Way::Read, timeout)
        }

        /// Sets how long a write may take, from its next call on; `None` for ever. `write_all` is as
        /// many writes as it takes.
        ///
        /// # Errors
        ///
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) for a zero timeout; closed.
        pub fn set_write_timeout(
            &self,
            timeout: Option<std::time::Duration>,
        ) -> std::io::Result<()> {
            $crate::shared::HasSocket::socket(self).set_timeout($crate::socket::Way::Write, timeout)
        }

        /// See [`set_read_timeout`](Self::set_read_timeout).
        ///
        /// # Errors
        ///
        /// After [`close`](Self::close).
        pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
            $crate::shared::HasSocket::socket(self).timeout($crate::socket::Way::Read)
        }

        /// See [`set_write_timeout`](Self::set_write_timeout).
        ///
        /// # Errors
        ///
        /// After [`close`](Self::close).
        pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
            $crate::shared::HasSocket::socket(self).timeout($crate::socket::Way::Write)
        }
    };
}

/// Deadlines of both directions; an example for `set_read_deadline` may be given.
macro_rules! deadlines {
    ($(#[$example:meta])*) => {
        /// Sets both deadlines: [`set_read_deadline`](Self::set_read_deadline),
        /// [`set_write_deadline`](Self::set_write_deadline).
        ///
        /// # Errors
        ///
        /// After [`close`](Self::close).
        pub fn set_deadline(&self, deadline: Option<std::time::Instant>) -> std::io::Result<()> {
            self.set_read_deadline(deadline)?;
            self.set_write_deadline(deadline)
        }

        /// Sets the time from which on reads fail with [`TimedOut`](std::io::ErrorKind::TimedOut), or
        /// clears it.
        ///
        /// It applies to reads that wait already, too: a time in the past ends them at once, a later
        /// one lets them go on. It stays until it is changed. Setting one for each request is cheap.
        $(#[$example])*
        ///
        /// # Errors
        ///
        /// After [`close`](Self::close).
        pub fn set_read_deadline(
            &self,
            deadline: Option<std::time::Instant>,
        ) -> std::io::Result<()> {
            $crate::shared::HasSocket::socket(self)
                .set_deadline($crate::socket::Way::Read, deadline)
        }

        /// Sets the time from which on writes fail with [`TimedOut`](std::io::ErrorKind::TimedOut), or
        /// clears it; otherwise like [`set_read_deadline`](Self::set_read_deadline).
        ///
        /// # Errors
        ///
        /// After [`close`](Self::close).
        pub fn set_write_deadline(
            &self,
            deadline: Option<std::time::Instant>,
        ) -> std::io::Result<()> {
            $crate::shared::HasSocket::socket(self)
                .set_deadline($crate::socket::Way::Write, deadline)
        }
    };
}

/// The deadline of a listener; an example may be given.
macro_rules! deadline {
    ($(#[$example:meta])*) => {
        /// Sets when [`accept`](Self::accept) gives up, or lets it wait for ever. Applies to a call
        /// that waits already, too; a time in the past ends it at once.
        $(#[$example])*
        ///
        /// # Errors
        ///
        /// After [`close`](Self::close).
        pub fn set_deadline(&self, deadline: Option<std::time::Instant>) -> std::io::Result<()> {
            $crate::shared::HasSocket::socket(self)
                .set_deadline($crate::socket::Way::Read, deadline)
        }
    };
}

/// `wait_readable`: to be called for what can be read or accepted from.
macro_rules! wait_readable {
    () => {
        /// Waits until reading (or accepting) would not wait, and takes nothing out: there are bytes, or
        /// the end, or an error. An idle connection needs no buffer that way.
        ///
        /// Rarely it returns although there is nothing, and will do so again until a read has been tried;
        /// another reader may also have been faster. It takes its turn among the readers, and the timeout and deadline of reads apply.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](std::io::ErrorKind::TimedOut); closed.
        pub fn wait_readable(&self) -> std::io::Result<()> {
            let reason = corio::reactor::WaitReason::NetRead;
            $crate::shared::HasSocket::socket(self).wait($crate::socket::Way::Read, reason)
        }
    };
}

/// `wait_writable`: to be called for what can be written to.
macro_rules! wait_writable {
    () => {
        /// Waits until writing would not wait, and writes nothing: there is room, or an error.
        ///
        /// Rarely it returns although there is no room, and will do so again until a write has been tried;
        /// another writer may also have been faster. It takes its turn among the writers, and the timeout and deadline of writes apply.
        ///
        /// # Errors
        ///
        /// [`TimedOut`](std::io::ErrorKind::TimedOut); closed.
        pub fn wait_writable(&self) -> std::io::Result<()> {
            let reason = corio::reactor::WaitReason::NetWrite;
            $crate::shared::HasSocket::socket(self).wait($crate::socket::Way::Write, reason)
        }
    };
}

/// `into_std`, for a type that is nothing but a `socket`.
macro_rules! into_std {
    ($std:ty) => {
        /// Converts to std's type, blocking unless [`set_nonblocking`](Self::set_nonblocking) says
        /// otherwise. Timeouts and deadlines stay behind.
        ///
        /// # Errors
        ///
        /// [`ResourceBusy`](std::io::ErrorKind::ResourceBusy) if there are other handles. After
        /// [`close`](Self::close). If there are no more descriptors.
        pub fn into_std(self) -> std::io::Result<$std> {
            self.socket.into_fd().map(Into::into)
        }
    };
}

// ---- traits: to be called beside the type ----

/// The descriptor of a type with a field `socket` and a function `of` that makes one from a
/// [`Socket`](crate::socket::Socket).
macro_rules! descriptor {
    ($type:ident) => {
        impl $type {
            /// Takes over a non-blocking descriptor of the right kind. `exposed`: it may have
            /// duplicates, or has a name of its own (see [`socket`](mod@crate::socket)).
            pub(crate) fn open(
                fd: std::os::fd::OwnedFd,
                exposed: bool,
            ) -> std::io::Result<Self> {
                $crate::socket::Socket::open(fd, exposed).map(Self::of)
            }
        }

        impl $crate::shared::HasSocket for $type {
            #[inline]
            fn socket(&self) -> &$crate::socket::Socket {
                &self.socket
            }
        }

        impl std::os::fd::AsFd for $type {
            /// The descriptor, for options. Don't change that it is non-blocking.
            ///
            #[doc = concat!("After [`", stringify!($type), "::close`] it is open but good for nothing.")]
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.socket.lend()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(&self.socket.lend())
            }
        }
    };
}

/// Conversions from and to std's type, for a `descriptor` of this family and type.
macro_rules! conversions {
    ($type:ident, $std:ty, $family:ident, $kind:ident) => {
        impl TryFrom<$std> for $type {
            type Error = std::io::Error;

            /// Takes the socket over, with its timeouts; if that fails, it is closed. If it was non-blocking,
            #[doc = concat!("[`", stringify!($type), "::set_nonblocking`] applies.")]
            fn try_from(socket: $std) -> std::io::Result<Self> {
                Self::try_from(std::os::fd::OwnedFd::from(socket))
            }
        }

        impl TryFrom<std::os::fd::OwnedFd> for $type {
            type Error = std::io::Error;

            /// Takes a socket over, as from std's type. One of another family or type is
            /// [`InvalidInput`](std::io::ErrorKind::InvalidInput).
            fn try_from(fd: std::os::fd::OwnedFd) -> std::io::Result<Self> {
                let family = $crate::shared::Family::$family;
                $crate::shared::adopt(fd, family, socket2::Type::$kind).map(Self::of)
            }
        }

        impl TryFrom<$type> for $std {
            type Error = std::io::Error;

            #[doc = concat!("See [`", stringify!($type), "::into_std`].")]
            fn try_from(socket: $type) -> std::io::Result<Self> {
                socket.into_std()
            }
        }

        impl TryFrom<$type> for std::os::fd::OwnedFd {
            type Error = std::io::Error;

            #[doc = concat!("See [`", stringify!($type), "::into_std`].")]
            fn try_from(socket: $type) -> std::io::Result<Self> {
                socket.into_std().map(Into::into)
            }
        }
    };
}

/// `Debug`, with the descriptor's number and what these methods return, if they do.
macro_rules! debug {
    ($type:ident, $($name:literal: $method:ident),*) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut debug = f.debug_struct(stringify!($type));
                $(if let Ok(value) = self.$method() {
                    debug.field($name, &value);
                })*
                debug
                    .field("fd", &$crate::shared::HasSocket::socket(self).number())
                    .finish()
            }
        }
    };
}

/// `Read` for a [`Stream`](super::Stream) and references to it.
macro_rules! reading {
    ($type:ident) => {
        $crate::shared::reading!($type: $type);
        $crate::shared::reading!($type: &$type);
    };
    ($stream:ident: $type:ty) => {
        impl std::io::Read for $type {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                $crate::shared::read::<$stream>(self, buf)
            }

            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                $crate::shared::read_vectored::<$stream>(self, bufs)
            }
        }
    };
}

/// `Write` for a [`Stream`](super::Stream) and references to it.
macro_rules! writing {
    ($type:ident) => {
        $crate::shared::writing!($type: $type);
        $crate::shared::writing!($type: &$type);
    };
    ($stream:ident: $type:ty) => {
        impl std::io::Write for $type {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                $crate::shared::write::<$stream>(self, buf)
            }

            fn write_vectored(
                &mut self,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::io::Result<usize> {
                $crate::shared::write_vectored::<$stream>(self, bufs)
            }

            /// Keeps its turn to the end: other writers' bytes come before or after, not in between.
            fn write_all(&mut self, buf: &[u8]) -> std::io::Result<()> {
                $crate::shared::write_all::<$stream>(self, buf)
            }

            /// Formats first, then writes.
            fn write_fmt(&mut self, args: std::fmt::Arguments<'_>) -> std::io::Result<()> {
                $crate::shared::write_fmt::<$stream>(self, args)
            }

            /// Nothing to do: what is written is with the system.
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

/// `Read` and `Write` for a type whose references have them.
macro_rules! by_reference {
    ($type:ty) => {
        impl std::io::Read for $type {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buf)
            }

            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        impl std::io::Write for $type {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            /// Keeps its turn to the end: other writers' bytes come before or after, not in between.
            fn write_all(&mut self, buf: &[u8]) -> std::io::Result<()> {
                (&*self).write_all(buf)
            }

            /// Formats first, then writes.
            fn write_fmt(&mut self, args: std::fmt::Arguments<'_>) -> std::io::Result<()> {
                (&*self).write_fmt(args)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                (&*self).flush()
            }
        }
    };
}

pub(crate) use {
    by_reference, clones, close, conversions, deadline, deadlines, debug, descriptor, into_std,
    nonblocking, reading, take_error, timeouts, wait_readable, wait_writable, writing,
};
