//! Execution trace, the lower half: what an event is, and where it is put.
//!
//! The scheduler says what it does in one-liners at the places where it does it (`Held::trace`, [`unowned`]). While
//! no trace runs each of them is a test of a bit that is almost always clear (`prim::flags`). While one runs the event is
//! put into the ring of the P that is held ([`ring`]), or, by a thread that holds none, into one list for all. The
//! upper half, `sched::trace`, collects events from there and writes them.
//!
//! An event is three words, and which ones is the same for all:
//!
//! ```text
//!   63                            8 7  6    0
//!  +-------------------------------+----+----+
//!  | stamp (56 bits)               |SOON|kind|
//!  +-------------------------------+----+----+
//!  | a                                       |
//!  | b                                       |
//!  +-----------------------------------------+
//! ```
//!
//! Reading the time is most of what an event costs. One that is followed by another on the same P at once, such as the
//! end of a goroutine's turn by the beginning of the next one's, leaves it to that one (`SOON`).
//!
//! Rejected: variants with fields instead of a kind and two words, since they would have to be packed and unpacked
//! nevertheless; and a ring per M, of which there may be thousands, most of them asleep.

pub(crate) mod ring;
pub(crate) mod stamp;

use crate::prim::Mutex;
use crate::prim::flags;
use stamp::Stamp;
use std::mem;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What has happened. In the comments `a` and `b` are the event's words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Kind {
            $($(#[$doc])* $name,)*
        }

        const KINDS: &[Kind] = &[$(Kind::$name),*];
    };
}

kinds! {
    /// The M `a` has taken the P up; `b`: it spins.
    Start,
    /// The P is put on the idle list by the M `a`.
    Idle,
    /// The P is out of use.
    Stopped,
    /// The P is given up by the M `a`, which blocks or ends.
    HandOff,
    /// The P is sent to the M `a`; `b`: see [`sent`].
    Sent,
    /// The goroutine `a` is switched to; `b`: see [`switch`].
    Run,
    /// The goroutine `a` yields.
    Yield,
    /// The goroutine `a` parks for the reason `b`, or is made ready before it has.
    Park,
    /// The goroutine `a` comes back from a blocking call and finds no P.
    WaitForP,
    /// The goroutine `a` has ended.
    Exit,
    /// The goroutine `a` is spawned at the `Location` `b`, into `runnext`, or without a P into the global queue.
    Create,
    /// As `Create`; into no queue so far.
    Made,
    /// The goroutine `a` was made ready, into the queue `b`: a [`Queue`].
    Ready,
    /// `a` goroutines were taken from the global queue.
    Global,
    /// As `Global`, because it is the 61st tick.
    GlobalTick,
    /// `b` goroutines were stolen from the P `a`.
    Steal,
    /// The `runnext` of the P `a` was stolen.
    StealNext,
    /// The time slice is over: the goroutine `a` goes from `runnext` to the tail of the queue.
    SliceOver,
    /// The M `a` has begun to spin.
    Spin,
    /// The M `a` has found something while it spun.
    Found,
    /// The reactor was polled for `b` ticks and `a` goroutines are ready.
    Poll,
    /// As `Poll`, waiting for something to happen.
    PollBlocking,
    /// Timers were run for `b` ticks; `a`: how many, and whose ([`timers`]).
    Timers,
    /// The goroutine `a` begins a blocking call on the M `b`.
    Block,
    /// The goroutine `a` has come back from it.
    Unblock,
    /// sysmon takes the P from the goroutine `b` on the M `a`, which blocks its thread.
    TookBlocked,
    /// sysmon takes the P from the goroutine `b` on the M `a`, which computes.
    TookHog,
    /// sysmon moves `a` goroutines of the P to the global queue.
    MakeWay,
    /// sysmon moves the goroutine `b` from the `runnext` of the P `a` to the global queue.
    MoveNext,
    /// sysmon asks the goroutine on the P `a` to switch.
    Ask,
    /// The thread of the M `a` starts.
    MStart,
    /// The thread of the M `a` ends.
    MEnd,
    /// The M `a` waits for mail.
    Asleep,
}

/// Where a goroutine was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Queue {
    Next,
    Local,
    Global,
}

impl Queue {
    pub(crate) fn from_raw(raw: u64) -> Queue {
        match raw {
            0 => Queue::Next,
            1 => Queue::Local,
            _ => Queue::Global,
        }
    }
}

/// Why a goroutine is switched to, as far as the switch itself knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Turn {
    /// It was in a queue.
    Queued,
    /// It was in `runnext`.
    Next,
    /// It was made ready before it had parked.
    Again,
    /// Its blocking call is over and there was an idle P.
    Unblocked,
}

/// The `b` of [`Kind::Run`].
#[inline(always)]
pub(crate) const fn switch(m: u32, turn: Turn) -> u64 {
    m as u64 | (turn as u64) << 32
}

/// What [`switch`] was made of.
pub(crate) fn switched(b: u64) -> (u32, Turn) {
    let turn = match b >> 32 {
        0 => Turn::Queued,
        1 => Turn::Next,
        2 => Turn::Again,
        _ => Turn::Unblocked,
    };
    (b as u32, turn)
}

/// The `b` of [`Kind::Sent`]: the M that sends (0: none), whether the other is to spin, the goroutine to run first (0: none).
pub(crate) fn sent(by: u32, spinning: bool, first: u64) -> u64 {
    u64::from(by) | u64::from(spinning) << 21 | first << 22
}

/// What [`sent`] was made of.
pub(crate) fn was_sent(b: u64) -> (u32, bool, u64) {
    (b as u32 & ((1 << 21) - 1), b >> 21 & 1 != 0, b >> 22)
}

/// The `a` of [`Kind::Timers`]: how many, of which P.
pub(crate) fn timers(n: usize, of: u32) -> u64 {
    n as u64 | u64::from(of) << 32
}

/// An event, but for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    pub(crate) a: u64,
    pub(crate) b: u64,
}

const SOON: u64 = 0x80;
const KIND: u64 = 0x7f;

/// When an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    At(Stamp),
    /// When the next event of the same P did.
    Soon,
}

impl Event {
    /// See the kind for what the words mean.
    #[inline(always)]
    pub(crate) fn new(kind: Kind, a: u64, b: u64) -> Event {
        Event { kind, a, b }
    }

    /// As it is put into a ring.
    #[inline(always)]
    pub(crate) fn pack(self, when: When) -> [u64; ring::WORDS] {
        let first = match when {
            When::At(stamp) => stamp.raw() << 8,
            When::Soon => SOON,
        };
        [first | self.kind as u64, self.a, self.b]
    }

    /// From [`Event::pack`]. `None`: it isn't.
    pub(crate) fn unpack([first, a, b]: [u64; ring::WORDS]) -> Option<(When, Event)> {
        let when = if first & SOON != 0 {
            When::Soon
        } else {
            When::At(Stamp::from_raw(first >> 8))
        };
        let kind = *KINDS.get((first & KIND) as usize)?;
        Some((when, Event { kind, a, b }))
    }
}

/// Is a trace running?
#[inline(always)]
pub(crate) fn on() -> bool {
    flags::has(flags::TRACE)
}

/// The time if a trace is running: the beginning of what an event tells the duration of.
#[inline(always)]
pub(crate) fn begin() -> Option<Stamp> {
    on().then(Stamp::now)
}

/// Ticks since `begin`.
pub(crate) fn ticks_since(begin: Option<Stamp>) -> u64 {
    begin.map_or(0, |begin| Stamp::now().since(begin).max(0) as u64)
}

/// Who, instead of an M, puts an event into the list.
pub(crate) mod who {
    /// A thread that has no M.
    pub(crate) const NO_M: u32 = 0;
    /// sysmon.
    pub(crate) const SYSMON: u32 = u32::MAX;
}

/// An event of a thread that holds no P.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unowned {
    pub(crate) at: Stamp,
    /// The number of its M, or one of [`who`].
    pub(crate) m: u32,
    pub(crate) event: Event,
}

/// The most of them that are kept.
const MAX_UNOWNED: usize = 1 << 16;

struct List {
    events: Vec<Unowned>,
    dropped: u64,
}

static LIST: Mutex<List> = Mutex::new(List {
    events: Vec::new(),
    dropped: 0,
});

/// Records an event of a thread that holds no P, if a trace is running. `m` is its M's number, or one of [`who`].
#[inline(always)]
pub(crate) fn unowned(m: u32, event: impl FnOnce() -> Event) {
    if on() {
        record(m, event());
    }
}

#[cold]
#[inline(never)]
fn record(m: u32, event: Event) {
    let mut list = LIST.lock();
    if list.events.len() == MAX_UNOWNED {
        list.dropped += 1;
        return;
    }
    // Under the lock, so that they are in order.
    let at = Stamp::now();
    list.events.push(Unowned { at, m, event });
}

/// Takes the list; and how many events didn't find room in it since.
pub(crate) fn take_unowned(into: &mut Vec<Unowned>) -> u64 {
    debug_assert!(into.is_empty());
    let mut list = LIST.lock();
    mem::swap(into, &mut list.events);
    mem::take(&mut list.dropped)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn events_survive_packing() {
        for &kind in KINDS {
            let event = Event::new(kind, u64::MAX, 1);
            for when in [When::Soon, When::At(Stamp::from_raw(u64::MAX))] {
                assert_eq!(Event::unpack(event.pack(when)), Some((when, event)));
            }
        }
        assert_eq!(Event::unpack([KIND, 0, 0]), None);
    }

    #[test]
    fn words_survive_packing() {
        let m = (1 << 21) - 1;
        assert_eq!(was_sent(sent(m, true, 1 << 40)), (m, true, 1 << 40));
        assert_eq!(was_sent(sent(0, false, 0)), (0, false, 0));
        for turn in [Turn::Queued, Turn::Next, Turn::Again, Turn::Unblocked] {
            assert_eq!(switched(switch(m, turn)), (m, turn));
        }
    }
}
