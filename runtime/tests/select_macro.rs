//! `select!` and `select_biased!` as syntax: every form of arm, what is evaluated when, and what the
//! bodies may do. What a select does with channels is tested with the channels.

#![forbid(unsafe_code)] // The macros must work in such a crate.

use corio::channel::{Receiver, RecvError, SendError, Sender, bounded, never, unbounded};
use corio::{go, select, select_biased};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);

/// A channel with these messages in it and no sender left.
fn holding<T>(messages: impl IntoIterator<Item = T>) -> Receiver<T> {
    let (tx, rx) = unbounded();
    for message in messages {
        tx.send(message).unwrap();
    }
    rx
}

fn panics(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn separators() {
    let (rx, one) = (never::<()>(), 1);
    let run = |n| match n {
        0 => select! { recv(rx) -> _ => 1, default => 2 },
        1 => select! { recv(rx,) -> _ => 1, default() => 2, },
        2 => select! { recv(rx) -> _ => { 1 } default(SHORT,) => { 2 } },
        3 => select! { recv(rx) -> _ => { 1 }, default => { 2 }, },
        4 => select! { default => 2, recv(rx) -> _ => 1 },
        5 => select! { default => { 2 } recv(rx) -> _ => { 1 } recv(rx) -> _ => 1 },
        6 => select! { recv(rx) -> _ => { one }.min(0), default => { 1 } + one },
        _ => select! { recv(rx) -> _ => { 1 } default => if n > 0 { 2 } else { 3 } },
    };
    assert!((0..8).all(|n| run(n) == 2));
}

#[test]
fn both_paths_name_the_same_macros() {
    let rx = holding([1, 2]);
    assert_eq!(corio::select! { recv(rx) -> n => n }, Ok(1));
    assert_eq!(corio::channel::select! { recv(rx) -> n => n }, Ok(2));
    assert!(corio::select_biased! { recv(rx) -> n => n.is_err() });
    assert!(corio::channel::select_biased! { recv(rx) -> n => n.is_err() });
}

#[test]
fn only_a_default() {
    assert_eq!(select! { default => 1 }, 1);
    let start = Instant::now();
    assert_eq!(select! { default(SHORT) => 2 }, 2);
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn types_of_results() {
    let (tx, rx) = bounded::<u8>(1);
    select! { recv(rx) -> r => { let _: Result<u8, RecvError> = r; } default => {} }
    select! { recv(rx) -> r => { let _: Result<u8, RecvError> = r; } default(SHORT) => {} }
    select! { send(tx, 1) -> r => { let _: Result<(), SendError<u8>> = r; } }
    select! { recv(rx) -> r => { let _: Result<u8, RecvError> = r; } }
    drop(rx);
    select! { send(tx, 2) -> r => assert_eq!(r, Err(SendError(2))), default => panic!() }
    select! { send(tx, 3) -> r => assert_eq!(r, Err(SendError(3))), default(LONG) => panic!() }
}

#[test]
fn patterns() {
    let rx = holding([1, 2]);
    let (Ok(n) | Err(n)) = select! { recv(rx) -> ref n => n.map_err(|_| 0) };
    assert_eq!(n, 1);
    let n = select! { recv(rx) -> mut n => { n = n.map(|n| n + 1); n } };
    assert_eq!(n, Ok(3));
    select! { recv(rx) -> (Ok(_) | Err(RecvError)) => {} }
}

#[test]
fn handles_of_every_kind() {
    struct Wrapped(Box<Receiver<i32>>);
    impl std::ops::Deref for Wrapped {
        type Target = Receiver<i32>;
        fn deref(&self) -> &Receiver<i32> {
            &self.0
        }
    }
    let wrapped = Wrapped(Box::new(holding(0..5)));
    let make = || holding([7]);
    let none: Option<&Receiver<i32>> = [].first();
    let all = [never::<i32>()];
    let (tx, _rx) = bounded::<i32>(0);
    let tx = Rc::new(tx);
    let mut seen = Vec::new();
    for _ in 0..4 {
        select! {
            recv(wrapped) -> n => seen.push(n),
            recv(&&wrapped.0) -> n => seen.push(n),
            recv(*wrapped.0) -> n => seen.push(n),
            recv(none.unwrap_or(&never())) -> _ => panic!(),
            recv(all[seen.len() / 100]) -> _ => panic!(),
            send(tx, 1) -> _ => panic!(),
            send(&*tx, 1) -> _ => panic!(),
        }
    }
    seen.push(select! { recv(wrapped) -> n => n });
    assert_eq!(seen, (0..5).map(Ok).collect::<Vec<_>>());
    assert_eq!(select! { recv(make()) -> n => n }, Ok(7));
    assert_eq!(
        select! { recv(make()) -> n => n, recv(all[0]) -> n => n },
        Ok(7)
    );
}

#[test]
fn temporaries_live_until_the_body_is_done() {
    struct Owner<'a>(Receiver<i32>, &'a RefCell<Vec<&'static str>>);
    impl Drop for Owner<'_> {
        fn drop(&mut self) {
            self.1.borrow_mut().push("dropped");
        }
    }
    let log = RefCell::new(Vec::new());
    select! {
        recv(Owner(holding([1]), &log).0) -> _ => log.borrow_mut().push("body"),
    }
    select! {
        recv(Owner(never(), &log).0) -> _ => panic!(),
        recv(holding([1])) -> _ => log.borrow_mut().push("body"),
        default => panic!(),
    }
    assert_eq!(log.into_inner(), ["body", "dropped", "body", "dropped"]);
}

#[test]
fn bodies_may_change_what_handles_were_borrowed_from() {
    struct Loop {
        work: Receiver<i32>,
        stop: Receiver<()>,
        sum: i32,
    }
    impl Loop {
        fn add(&mut self, n: i32) {
            self.sum += n;
        }
        fn close(&mut self) {
            self.work = never();
        }
    }
    let (_tx, stop) = unbounded();
    let work = holding([1, 2, 4, 8]);
    let mut state = Loop { work, stop, sum: 0 };
    let this = &mut state;
    select! { recv(this.work) -> n => this.add(n.unwrap()) }
    select! { recv(this.work) -> n => this.add(n.unwrap()), default => this.close() }
    select! {
        recv(this.work) -> n => this.add(n.unwrap()),
        recv(this.stop) -> _ => this.close(),
        default => this.close(),
    }
    select! {
        recv(this.work) -> n => this.add(n.unwrap()),
        recv(this.stop) -> _ => this.close(),
        default(LONG) => this.close(),
    }
    select! {
        recv(this.stop) -> _ => panic!(),
        recv(this.work) -> n => if n.is_err() { this.close() },
    }
    select! { recv(this.work) -> _ => panic!(), default => this.add(100) }
    select! { recv(this.work) -> _ => panic!(), default(SHORT) => this.add(100) }
    select! { recv(this.work) -> _ => panic!(), recv(this.stop) -> _ => panic!(), default => this.add(100) }
    select! { recv(this.work) -> _ => panic!(), recv(this.stop) -> _ => panic!(), default(SHORT) => this.add(100) }
    assert_eq!(state.sum, 415);
}

#[test]
fn bodies_may_consume_handles() {
    let (tx, rx) = bounded(1);
    select! {
        send(tx, 1) -> _ => drop(tx),
        recv(rx) -> _ => drop(rx),
        default => drop((tx, rx)),
    }
    let (tx, mut rx) = bounded::<i32>(1);
    rx = select! {
        recv(rx) -> _ => rx,
        send(tx, 5) -> _ => { drop(tx); rx }
    };
    assert_eq!(rx.iter().collect::<Vec<_>>(), [5]);
}

#[test]
fn evaluated_in_order_and_once() {
    let rx = never::<()>();
    let log = RefCell::new(Vec::new());
    let note = |n| log.borrow_mut().push(n);
    select! {
        recv({ note(1); &rx }) -> _ => panic!(),
        default({ note(4); SHORT }) => note(5),
        recv({ note(2); &rx }) -> _ => panic!(),
        send({ note(3); bounded::<i32>(0).0 }, { note(7); 1 }) -> r => { assert!(r.is_err()); note(8) }
    }
    assert_eq!(log.into_inner(), [1, 2, 3, 4, 7, 8]);
}

#[test]
fn only_the_chosen_message_is_evaluated() {
    let (tx, rx) = bounded::<Box<dyn Fn() -> i32 + Send>>(1);
    let (full, _rx) = bounded(0);
    let mut made = Vec::new();
    select! {
        send(full, made.push("never")) -> _ => panic!(),
        send(tx, { made.push("boxed"); Box::new(|| 3) }) -> r => r.unwrap(),
    }
    select! {
        send(full, made.push("never")) -> _ => panic!(),
        default => made.push("default"),
    }
    assert_eq!(made, ["boxed", "default"]);
    assert_eq!(rx.recv().map(|f| f()), Ok(3));
}

#[test]
fn a_message_may_take_what_another_arm_also_takes() {
    let (tx1, rx) = bounded(1);
    let tx2 = never_taken();
    let message = String::from("one");
    select! {
        send(tx1, message) -> _ => {}
        send(tx2.0, message) -> _ => panic!(),
        default => drop(message),
    }
    assert_eq!(rx.recv().as_deref(), Ok("one"));
}

fn never_taken() -> (Sender<String>, Receiver<String>) {
    bounded(0)
}

#[test]
#[expect(unreachable_code, clippy::diverging_sub_expression)]
fn a_panic_of_a_message_gives_its_place_back() {
    let (tx, rx) = bounded(1);
    assert_eq!(
        panics(|| select! { send(tx, panic!("no message")) -> _ => {} }),
        "no message"
    );
    assert_eq!(tx.try_send(1), Ok(()));
    assert_eq!(rx.recv(), Ok(1));

    let (tx, rx) = bounded(0);
    let receiver = go!(move || rx.recv());
    assert_eq!(
        panics(|| select! { send(tx, panic!("no message")) -> _ => {} }),
        "no message"
    );
    tx.send(2).unwrap();
    assert_eq!(receiver.join().unwrap(), Ok(2));
}

#[test]
#[expect(unreachable_code, clippy::diverging_sub_expression)]
fn leaving_a_message_panics() {
    let (tx, rx) = bounded::<i32>(1);
    let text = panics(|| {
        #[expect(clippy::never_loop)]
        loop {
            select! { send(tx, break) -> _ => {} }
        }
    });
    assert!(text.contains("without completing the operation"), "{text}");
    assert_eq!((tx.try_send(1), rx.try_recv()), (Ok(()), Ok(1)));
}

#[test]
fn question_mark_and_return() {
    fn next(rx: &Receiver<Result<i32, String>>) -> Result<i32, String> {
        let n = select! {
            recv(rx) -> n => n.map_err(|error| error.to_string())??,
            default => return Ok(-1),
        };
        Ok(n * 2)
    }
    let rx = holding([Ok(1), Err("two".to_owned())]);
    assert_eq!(next(&rx), Ok(2));
    assert_eq!(next(&rx), Err("two".to_owned()));
    assert!(next(&rx).unwrap_err().contains("disconnected"));
    let (_tx, rx) = unbounded();
    assert_eq!(next(&rx), Ok(-1));
}

#[test]
fn break_and_continue() {
    let (numbers, others) = (holding(0..5), never::<i32>());
    let mut seen = Vec::new();
    let last = 'outer: loop {
        loop {
            select_biased! {
                recv(numbers) -> n => match n {
                    Ok(1) => continue,
                    Ok(3) => break,
                    Ok(n) => seen.push(n),
                    Err(_) => break 'outer "disconnected",
                },
                recv(others) -> n => { seen.push(n.unwrap()); break 'outer "other" }
            }
        }
        seen.push(-3);
    };
    assert_eq!((seen, last), (vec![0, 2, -3, 4], "disconnected"));
}

#[test]
fn a_message_lives_as_long_as_the_body() {
    struct Noisy<'a>(&'a RefCell<Vec<&'static str>>);
    impl Drop for Noisy<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push("dropped");
        }
    }
    let log = RefCell::new(Vec::new());
    let (tx, rx) = bounded(2);
    for _ in 0..2 {
        assert!(tx.send(Noisy(&log)).is_ok());
    }
    select! { recv(rx) -> _ => log.borrow_mut().push("body") }
    select! { recv(rx) -> _ => log.borrow_mut().push("body"), default => panic!() }
    assert_eq!(*log.borrow(), ["body", "dropped", "body", "dropped"]);
}

#[test]
fn names_of_the_caller_are_untouched() {
    mod core {}
    mod std {}
    struct Result;
    let (arm0, arm1, arms, selected, outcome, result) = (1, 2, 3, 4, 5, Result);
    let (tx, rx) = bounded(1);
    select! {
        send(tx, arm0 + arm1 + arms + selected + outcome) -> _ => {}
        recv(rx) -> _ => {}
    }
    let sum = select! {
        recv(rx) -> rx => rx.unwrap() + arm0 + arm1 + arms + selected + outcome,
        send(tx, 0) -> _ => 0,
        default => { let Result = result; -1 },
    };
    assert!(sum == 30 || sum == 0);
}

#[test]
fn nesting() {
    let (tx, rx) = bounded::<i32>(1);
    let n = select! {
        send(tx, select! { recv(holding([20])) -> n => n.unwrap(), default => 0 }) -> _ => select! {
            recv(rx) -> n => n.unwrap() + select_biased! { default => 1, recv(rx) -> _ => 2 },
            recv(select! { default => never() }) -> n => n.unwrap(),
        },
        recv(rx) -> _ => 0,
    };
    assert_eq!(n, 21);
}

/// Also that two of them, one in the other, stay within the default recursion limit.
#[test]
fn thirty_two_operations_and_a_default() {
    let none: Vec<Receiver<usize>> = (0..31).map(|_| never()).collect();
    let (tx, rx) = unbounded();
    macro_rules! select_all {
        ($default:expr) => {
            select! {
                recv(none[0]) -> _ => 0, recv(none[1]) -> _ => 1, recv(none[2]) -> _ => 2,
                recv(none[3]) -> _ => 3, recv(none[4]) -> _ => 4, recv(none[5]) -> _ => 5,
                recv(none[6]) -> _ => 6, recv(none[7]) -> _ => 7, recv(none[8]) -> _ => 8,
                recv(none[9]) -> _ => 9, recv(none[10]) -> _ => 10, recv(none[11]) -> _ => 11,
                recv(none[12]) -> _ => 12, recv(none[13]) -> _ => 13, recv(none[14]) -> _ => 14,
                recv(none[15]) -> _ => 15, recv(none[16]) -> _ => 16, recv(none[17]) -> _ => 17,
                recv(none[18]) -> _ => 18, recv(none[19]) -> _ => 19, recv(none[20]) -> _ => 20,
                recv(none[21]) -> _ => 21, recv(none[22]) -> _ => 22, recv(none[23]) -> _ => 23,
                recv(none[24]) -> _ => 24, recv(none[25]) -> _ => 25, recv(none[26]) -> _ => 26,
                recv(none[27]) -> _ => 27, recv(none[28]) -> _ => 28, recv(none[29]) -> _ => 29,
                recv(none[30]) -> _ => 30,
                recv(rx) -> n => n.unwrap(),
                default => $default,
            }
        };
    }
    let n = select_all!({
        tx.send(31).unwrap();
        select_all!(99)
    });
    assert_eq!(n, 31);
}
