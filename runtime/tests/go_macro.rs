//! The `go!` macro: every form it takes, and what is evaluated when.

use corio::go;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

mod module {
    pub(crate) mod inner {
        pub(crate) fn convert<T: From<u8>>(byte: u8) -> T {
            T::from(byte)
        }
    }
}

fn add(a: i32, b: i32) -> i32 {
    a + b
}

fn answer() -> i32 {
    42
}

fn show(value: impl Display, width: usize) -> String {
    format!("{value:>width$}")
}

fn unit(_: (), n: u8) -> u8 {
    n
}

fn adder(a: i32) -> impl Fn(i32) -> i32 + Send + 'static {
    move |b| a + b
}

fn pair<A, B>(a: A, b: B) -> (A, B) {
    (a, b)
}

fn serve_for_ever(n: u32) -> ! {
    panic!("served {n}")
}

struct Account {
    balance: Mutex<i64>,
}

impl Account {
    fn new(balance: i64) -> Arc<Account> {
        Arc::new(Account {
            balance: Mutex::new(balance),
        })
    }

    fn deposit(&self, amount: i64) -> i64 {
        let mut balance = self.balance.lock().unwrap();
        *balance += amount;
        *balance
    }

    fn close(self: Arc<Self>, fee: i64) -> i64 {
        self.deposit(-fee)
    }

    fn spawn_deposit(self: &Arc<Self>, amount: i64) -> i64 {
        let this = Arc::clone(self);
        go!(this.deposit(amount)).join().unwrap()
    }

    fn spawn_self(self: Arc<Self>, amount: i64) -> i64 {
        go!(self.deposit(amount)).join().unwrap()
    }
}

struct Job {
    steps: u32,
    callback: fn(u32) -> u32,
    tuple: (fn(u32) -> u32,),
}

impl Job {
    fn step(&mut self, by: u32) -> u32 {
        self.steps += by;
        self.steps
    }

    fn get<T: From<u32>>(&self) -> T {
        T::from(self.steps)
    }

    fn collect<A, B>(self, a: A) -> (A, Option<B>) {
        (a, None)
    }
}

fn job() -> Job {
    Job {
        steps: 1,
        callback: |n| n * 10,
        tuple: (|n| n * 100,),
    }
}

#[test]
fn path_calls() {
    assert_eq!(go!(add(1, 2)).join().unwrap(), 3);
    assert_eq!(go!(add(1, 2,)).join().unwrap(), 3);
    assert_eq!(go!(add(1, 2),).join().unwrap(), 3);
    assert_eq!(go!(answer()).join().unwrap(), 42);
    assert_eq!(go!(self::add(1, 2)).join().unwrap(), 3);
    assert_eq!(go!(crate::add(1, 2)).join().unwrap(), 3);
    assert_eq!(go!(i32::max(1, 2)).join().unwrap(), 2);
    assert_eq!(go!(std::cmp::max("a", "b")).join().unwrap(), "b");
    assert_eq!(go!(show("x", 3)).join().unwrap(), "  x");
}

#[test]
fn type_arguments() {
    assert_eq!(go!(module::inner::convert::<u64>(7)).join().unwrap(), 7);
    let (a, b) = go!(pair::<Vec<Vec<u8>>, Option<HashMap<u8, Vec<i8>>>>(
        vec![],
        None
    ))
    .join()
    .unwrap();
    assert!(a.is_empty() && b.is_none());
    let f = go!(pair::<fn(u8) -> u8, [u8; 2]>(|x| x + 1, [1; 2]));
    assert_eq!((f.join().unwrap().0)(1), 2);
    assert_eq!(go!(<u64 as From<u8>>::from(3)).join().unwrap(), 3);
    assert_eq!(go!(Vec::<u8>::with_capacity(9)).join().unwrap().len(), 0);
    assert_eq!(go!(job().get::<u64>()).join().unwrap(), 1);
    let (a, b) = go!(job().collect::<u8, Vec<Vec<u8>>>(5)).join().unwrap();
    assert!(a == 5 && b.is_none());
    let (a, b) = go!(job().collect::<<u8 as std::ops::Add>::Output, Vec<u8>>(5))
        .join()
        .unwrap();
    assert!(a == 5 && b.is_none());
    assert_eq!(
        go!("a b".split(' ').collect::<Vec<_>>()).join().unwrap(),
        ["a", "b"]
    );
}

#[test]
fn method_calls() {
    let account = Account::new(10);
    assert_eq!(go!(account.clone().deposit(5)).join().unwrap(), 15);
    assert_eq!(go!(Arc::clone(&account).deposit(5,)).join().unwrap(), 20);
    assert_eq!(account.spawn_deposit(1), 21);
    assert_eq!(account.clone().spawn_self(1), 22);
    assert_eq!(go!(account.close(2)).join().unwrap(), 20);
}

#[test]
fn a_method_may_change_its_receiver() {
    let mut mine = job();
    assert_eq!(mine.step(1), 2);
    assert_eq!(go!(mine.step(3)).join().unwrap(), 5);
}

#[test]
fn receivers_of_every_kind() {
    assert_eq!(go!("abc".len()).join().unwrap(), 3);
    assert_eq!(go!(5_u8.max(9)).join().unwrap(), 9);
    assert_eq!(
        go!(vec![3, 1, 2].into_iter().max()).join().unwrap(),
        Some(3)
    );
    assert_eq!(go!([3, 1, 2].len()).join().unwrap(), 3);
    assert_eq!(go!((1, String::from("b")).1.len()).join().unwrap(), 1);
    assert_eq!(go!(((1, 2), 3).0.1.max(0)).join().unwrap(), 2);
    assert_eq!(
        go!(String::from("abc").replace("b", "-").len())
            .join()
            .unwrap(),
        3
    );
    assert_eq!(go!(Job { steps: 4, ..job() }.step(1)).join().unwrap(), 5);
    let names = [String::from("a"), String::from("bc")];
    assert_eq!(go!(names[1].clone().len()).join().unwrap(), 2);
    let r#type = String::from("raw");
    assert_eq!(go!(r#type.len()).join().unwrap(), 3);
}

#[test]
fn calls_of_values() {
    assert_eq!(go!(adder(1)(2)).join().unwrap(), 3);
    assert_eq!(go!((job().callback)(2)).join().unwrap(), 20);
    assert_eq!(go!(job().tuple.0(2)).join().unwrap(), 200);
    assert_eq!(go!((|x: i32| x + 1)(2)).join().unwrap(), 3);
    let fs: [fn(i32, i32) -> i32; 2] = [add, i32::max];
    assert_eq!(go!(fs[1](4, 3)).join().unwrap(), 4);
    let mut count = 0;
    let counter = move |by: i32| {
        count += by;
        count
    };
    assert_eq!(go!(counter(3)).join().unwrap(), 3);
    let boxed: Box<dyn FnOnce(i32) -> i32 + Send> = Box::new(|x| x * 2);
    assert_eq!(go!(boxed(4)).join().unwrap(), 8);
    assert_eq!(go!({ add }(4, 5)).join().unwrap(), 9);
    assert_eq!(go!(Some(3)).join().unwrap(), Some(3));
}

#[test]
fn closures() {
    let name = String::from("x");
    assert_eq!(go!(move || name + "y").join().unwrap(), "xy");
    assert_eq!(go!(|| 1 + 1).join().unwrap(), 2);
    assert_eq!(go!(|| add(1, 1)).join().unwrap(), 2);
    assert_eq!(go!(|| -> u64 { 3 }).join().unwrap(), 3);
    assert_eq!(go!(move || { add(1, 2) },).join().unwrap(), 3);
    go!(|| {}).join().unwrap();
}

#[test]
fn expressions_that_are_the_closure() {
    assert_eq!(go!(answer).join().unwrap(), 42);
    assert_eq!(go!(answer,).join().unwrap(), 42);
    assert_eq!(go!(self::answer).join().unwrap(), 42);
    assert_eq!(go!(String::new).join().unwrap(), "");
    assert_eq!(go!(Vec::<Vec<u8>>::new).join().unwrap().len(), 0);
    let worker = || 7;
    assert_eq!(go!(worker).join().unwrap(), 7);
    let workers: [fn() -> i32; 1] = [answer];
    assert_eq!(go!(workers[0]).join().unwrap(), 42);
    let shared = Arc::new(AtomicUsize::new(1));
    let handle = go!({
        let shared = Arc::clone(&shared);
        move || shared.fetch_add(1, Ordering::Relaxed)
    });
    assert_eq!(handle.join().unwrap(), 1);
    assert_eq!(shared.load(Ordering::Relaxed), 2);
    let make = |n: i32| move || n;
    assert_eq!(go!((make(3))).join().unwrap(), 3);
    assert_eq!(
        go!(if shared.load(Ordering::Relaxed) == 2 {
            answer
        } else {
            || 0
        })
        .join()
        .unwrap(),
        42
    );
}

#[test]
fn arguments_of_every_kind() {
    assert_eq!(go!(unit((), 3)).join().unwrap(), 3);
    assert_eq!(go!(add(if true { 1 } else { 2 }, { 3 })).join().unwrap(), 4);
    assert_eq!(go!(add(add(1, add(2, 3)), (1 + 1) * 2)).join().unwrap(), 10);
    assert_eq!(go!(String::from(concat!("a", "b"))).join().unwrap(), "ab");
    assert_eq!(
        go!(show(format!("{}", vec![1, 2].len()), 2))
            .join()
            .unwrap(),
        " 2"
    );
    assert_eq!(
        go!(pair(None::<u8>, &[1, 2])).join().unwrap(),
        (None, &[1, 2])
    );
    assert_eq!(go!(pair(|a: &str| a.len(), 1)).join().unwrap().1, 1);
    let (a, b) = (1, 2);
    assert_eq!(go!(add(a, b)).join().unwrap() + a + b, 6);
}

#[test]
fn a_question_mark_is_for_the_caller() {
    fn parse_and_add(text: &str) -> Result<i32, std::num::ParseIntError> {
        Ok(go!(add(text.parse::<i32>()?, 1)).join().unwrap())
    }
    fn parse_and_abs(text: &str) -> Result<i32, std::num::ParseIntError> {
        Ok(go!(text.parse::<i32>()?.abs()).join().unwrap())
    }
    assert_eq!(parse_and_add("41"), Ok(42));
    assert!(parse_and_add("x").is_err());
    assert_eq!(parse_and_abs("-1"), Ok(1));
    assert!(parse_and_abs("x").is_err());
}

#[test]
fn a_function_that_never_returns() {
    assert!(go!(serve_for_ever(3)).join().is_err());
}

thread_local! {
    static LOG: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// Logs in the calling thread's log: what is evaluated elsewhere is missing from it.
fn log<T>(what: &'static str, value: T) -> T {
    LOG.with_borrow_mut(|log| log.push(what));
    value
}

fn logged(run: impl FnOnce()) -> Vec<&'static str> {
    LOG.take();
    run();
    LOG.take()
}

#[test]
fn everything_but_the_call_is_evaluated_in_order_once_and_now() {
    let order = logged(|| {
        go!(log("function", pair)(log("first", 1), log("second", 2)));
    });
    assert_eq!(order, ["function", "first", "second"]);

    let order = logged(|| {
        go!(log("receiver", 1_i32).clamp(log("first", 0), log("second", 2)));
    });
    assert_eq!(order, ["receiver", "first", "second"]);

    let order = logged(|| {
        go!({
            log("block", ());
            || log("elsewhere", ())
        });
    });
    assert_eq!(order, ["block"]);
}

/// A plain thread never runs goroutines, so its id tells where something was evaluated.
#[test]
fn the_call_happens_in_the_goroutine() {
    fn here(caller: ThreadId) -> (ThreadId, ThreadId) {
        (caller, thread::current().id())
    }
    let (caller, callee) = go!(here(thread::current().id())).join().unwrap();
    assert_eq!(caller, thread::current().id());
    assert_ne!(callee, caller);
}

#[test]
fn arguments_have_their_values_of_now() {
    let mut n = 1;
    let (go_on, wait) = channel::<()>();
    fn later(wait: std::sync::mpsc::Receiver<()>, n: i32) -> i32 {
        wait.recv().unwrap();
        n
    }
    let handle = go!(later(wait, n));
    n += 1;
    go_on.send(()).unwrap();
    assert_eq!(handle.join().unwrap(), 1);
    assert_eq!(n, 2);
}

#[test]
fn temporaries_of_arguments_are_gone_before_the_goroutine_starts() {
    let shared = Mutex::new(String::from("x"));
    fn unlocked(text: String, more: String) -> String {
        text + &more
    }
    // Two temporary guards of one lock: the first must be dropped before the second is made.
    let handle = go!(unlocked(
        shared.lock().unwrap().clone(),
        shared.lock().unwrap().clone()
    ));
    assert_eq!(handle.join().unwrap(), "xx");
}

#[test]
fn a_panic_of_an_argument_is_the_callers() {
    fn fail() -> i32 {
        panic!("argument")
    }
    let caught = std::panic::catch_unwind(|| go!(add(1, fail())).join().unwrap());
    assert_eq!(
        caught.unwrap_err().downcast_ref::<&str>(),
        Some(&"argument")
    );
}

#[test]
fn dropping_the_handle_detaches() {
    let (sender, receiver) = channel();
    go!(sender.send(5));
    assert_eq!(receiver.recv(), Ok(5));
}
