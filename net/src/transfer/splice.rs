//! Between streams and pipes: through a pipe of ours, inside the system.
//!
//! ```text
//!  source ── splice ──▶ our pipe ── splice ──▶ destination
//! ```
//!
//! `splice` wants a pipe at one side. Also where the source or the destination is one: a call between two
//! of the user's would not say which of them it is that would block.
//!
//! **Our pipe is empty before bytes are moved into it, and holds a known number afterwards**, all of which
//! are moved out before the next. So `EAGAIN` on the way in means that the source has nothing, and on the
//! way out that the destination has no room.
//!
//! A pipe is two descriptors, and copies mostly wait. So one is taken from a pool for each piece, by the
//! try that moves bytes into it, and given back when it is empty: who waits for the source has none. One
//! that is not empty, because the destination failed, is closed.
//!
//! **Urgent data** ends what can be moved: the system then says for ever that the source has nothing, or even
//! that this is its end, though there may be more behind, which reading gets at. So a source that ever had
//! some is copied by hand; and that a socket is at its end is asked once more by reading, since it may come
//! before the event that tells of urgent data.
//!
//! If the system can't move from the source, or there are no descriptors, nothing has happened. If it
//! can't move to the destination, the piece is read from our pipe and written by hand. In both cases the
//! rest is copied by hand.

use super::{Count, Kind, Progress, moved, supported};
use crate::socket::{Socket, Turn, Way};
use crate::sys;
use corio::reactor::{WaitReason, checkpoint};
use corio::sync::Pool;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The size that our pipes ask for. Default is 64 KiB; a user without privileges has 64 MiB for all pipes
/// together, and gets smaller ones beyond.
const SIZE: usize = 256 << 10;

/// Empty pipes that are kept for each P; four times as many for all together.
const LIMIT: usize = 4;

/// `None` is what the pool makes; pipes are made by [`Pipe::take`], which may fail.
static PIPES: Pool<Option<Pipe>> = Pool::with_limit(|| None, LIMIT);

/// A pipe of ours.
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    /// An empty one.
    fn take() -> io::Result<Pipe> {
        if let Some(pipe) = PIPES.take() {
            return Ok(pipe);
        }
        let (reader, writer) = sys::pipe()?;
        sys::grow_pipe(writer.as_fd(), SIZE as _);
        Ok(Pipe { reader, writer })
    }

    /// Gives it back, empty.
    fn put(self) {
        PIPES.put(Some(self));
    }
}

/// See the module's head.
pub(super) fn copy(
    (from, from_kind): (&Socket, Kind),
    (to, kind): (&Socket, Kind),
    count: &mut Count,
) -> io::Result<Progress> {
    loop {
        let len = count.next(SIZE);
        if len == 0 {
            return Ok(Progress::Done);
        }
        let Some((pipe, len)) = fill(from, len)? else {
            return Ok(Progress::Unsupported);
        };
        if len == 0 {
            pipe.put();
            return Ok(match from_kind {
                Kind::Socket => Progress::Unsupported,
                Kind::Pipe => Progress::Done,
            });
        }
        let progress = drain(&pipe, len, to, kind, count)?;
        pipe.put();
        if let Progress::Unsupported = progress {
            return Ok(progress);
        }
    }
}

/// Moves what there is into a pipe, up to `max` bytes. Nothing is the end of the source.
fn fill(from: &Socket, max: usize) -> io::Result<Option<(Pipe, usize)>> {
    let mut held = None;
    let len = from.io(
        Way::Read,
        WaitReason::NetRead,
        |fd| {
            if from.had_urgent_data() {
                return Ok(None);
            }
            let Ok(pipe) = Pipe::take() else {
                return Ok(None);
            };
            let result = supported(sys::splice(fd, pipe.writer.as_fd(), max));
            match result {
                Ok(Some(_)) => held = Some(pipe),
                _ => pipe.put(),
            }
            result
        },
        |len| moved(len.unwrap_or(0)),
    )?;
    Ok(held.zip(len))
}

/// Moves the `len` bytes of a pipe to the destination.
fn drain(
    pipe: &Pipe,
    mut len: usize,
    to: &Socket,
    kind: Kind,
    count: &mut Count,
) -> io::Result<Progress> {
    let turn = to.turn_for(Way::Write)?;
    while len > 0 {
        let sent = turn.io(
            WaitReason::NetWrite,
            &mut turn.patience(),
            |fd| supported(sys::splice(pipe.reader.as_fd(), fd, len)),
            |sent| moved(sent.unwrap_or(0)),
        )?;
        match sent {
            Some(0) => return Err(io::ErrorKind::WriteZero.into()),
            Some(n) => {
                len -= n;
                count.add(n);
            }
            None => {
                drain_by_hand(pipe, len, &turn, kind, count)?;
                return Ok(Progress::Unsupported);
            }
        }
    }
    drop(turn);
    checkpoint();
    Ok(Progress::Done)
}

/// The same, with a buffer.
#[cold]
fn drain_by_hand(
    pipe: &Pipe,
    mut len: usize,
    turn: &Turn<'_>,
    kind: Kind,
    count: &mut Count,
) -> io::Result<()> {
    while len > 0 {
        // The bytes are there: this does not wait.
        let bytes =
            super::BUFFERS.read_by(|late| late.fill(|buf| sys::read(pipe.reader.as_fd(), buf)))?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        super::write_all(turn, kind, &bytes, count)?;
        len -= bytes.len();
    }
    Ok(())
}
