//! Waiting for readiness without moving bytes, mixed with reads: [`Turn::ready`](crate::socket) beside
//! [`Turn::io`](crate::socket).

use super::{Parking, explore, fails, opened, raw};
use crate::word::{Publish, State, WaitWord};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

/// Which step a mutant leaves out or moves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    None,
    /// `READY` is cleared after asking the system instead of before.
    ClearAfterAsking,
    /// The socket counts as drained still, although `READY` was cleared.
    StayDrained,
}

/// What a peer has sent and what was read of it, and where its events meet the reader.
struct Stream {
    word: WaitWord,
    /// How much was sent.
    kernel: Mutex<u32>,
    wake: Parking,
}

impl Stream {
    fn wait(&self) {
        if self.word.publish(raw(0)) == Publish::Waiting {
            self.wake.park();
        }
    }

    /// `Turn::ready`; `hasty`: of a socket whose calls don't wait.
    fn ready(&self, drained: &mut bool, taken: u32, hasty: bool, step: Step) {
        loop {
            if *drained && !hasty {
                if self.word.state() == State::Ready {
                    return;
                }
                self.wait();
                continue;
            }
            if step != Step::StayDrained {
                *drained = false;
            }
            if step != Step::ClearAfterAsking {
                assert!(self.word.clear());
            }
            let ready = *self.kernel.lock().unwrap() > taken;
            if step == Step::ClearAfterAsking {
                assert!(self.word.clear());
            }
            if ready || hasty {
                return;
            }
            self.wait();
        }
    }

    /// `Turn::io` with a buffer that is larger than what there is: a short read.
    fn read(&self, drained: &mut bool, taken: u32) -> u32 {
        if *drained && self.word.state() == State::Nil {
            self.wait();
        }
        loop {
            assert!(self.word.clear());
            let sent = *self.kernel.lock().unwrap();
            if sent > taken {
                *drained = true;
                return sent;
            }
            self.wait();
        }
    }
}

/// A peer sends twice; the reader waits before it reads, in one way and then in another. It must get
/// all.
fn waiting_and_reading(hasty: [bool; 2], step: Step) {
    let stream = Arc::new(Stream {
        word: opened(),
        kernel: Mutex::new(0),
        wake: Parking::new(),
    });
    let poller = {
        let stream = Arc::clone(&stream);
        thread::spawn(move || {
            for _ in 0..2 {
                *stream.kernel.lock().unwrap() += 1;
                if stream.word.ready(false).is_some() {
                    stream.wake.wake();
                }
            }
        })
    };
    let (mut drained, mut taken) = (false, 0);
    for hasty in hasty {
        if taken < 2 {
            stream.ready(&mut drained, taken, hasty, step);
            taken = stream.read(&mut drained, taken);
        }
    }
    assert!(taken >= 1);
    poller.join().unwrap();
}

#[test]
fn waiting_loses_no_event() {
    for hasty in [[false, false], [false, true], [true, false], [true, true]] {
        explore(None, move || waiting_and_reading(hasty, Step::None));
    }
    fails(None, || {
        waiting_and_reading([false, false], Step::ClearAfterAsking);
    });
    fails(None, || {
        waiting_and_reading([false, true], Step::StayDrained)
    });
}
