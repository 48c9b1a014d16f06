//! may: stackful coroutines, its channels and locks, its sockets, and may_minihttp.
//!
//! It has no bounded channels: where one place is asked for, its unbounded one stands in for it (no more
//! than one message is under way), and a semaphore keeps the count of places of the one for many receivers.
//! It has no rendezvous, and its `select!` is something else. Coroutines are two mappings each, of which
//! the system allows a process 65,530 unless told otherwise, and those that don't fit are a panic.

mod echo;
mod http;

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use corio_bench_peers::blocking::{self, Runtime, lock};
use corio_bench_peers::work::Shared;
use corio_bench_peers::{Args, Failure, Outcome, locks, run};
use may::coroutine::{self, JoinHandle};
use may::go;
use may::sync::{Barrier, Mutex, RwLock, Semphore, mpmc, mpsc};

const VERSION: &str = concat!("may ", env!("VERSION_may"));
const VERSION_HTTP: &str = concat!(
    "may ",
    env!("VERSION_may"),
    ", may_minihttp ",
    env!("VERSION_may_minihttp")
);

fn main() -> ExitCode {
    let http = std::env::args().nth(1).as_deref() == Some("serve-http");
    let version = if http { VERSION_HTTP } else { VERSION };
    run("may", version, |args| {
        may::config().set_workers(args.procs());
        workload(args)
    })
}

fn workload(args: &Args) -> Outcome {
    match args.workload.as_str() {
        "mutex" => lock::turns::<May, Mutex<Shared>>(args, 0),
        "rwlock" => lock::turns::<May, RwLock<Shared>>(args, args.reads),
        "serve-echo" => echo::serve(args),
        "serve-http" => http::serve(args),
        _ => blocking::workload::<May>(args),
    }
}

locks! { May;
    Mutex<Shared>: lock lock Result::unwrap;
    RwLock<Shared>: read write Result::unwrap;
}

struct May;

/// The places of a channel that are free.
type Places = Arc<Semphore>;

impl Runtime for May {
    type Task<T: Send + 'static> = JoinHandle<T>;
    type Barrier = Barrier;
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;
    type ManySender = (mpmc::Sender<u64>, Places);
    type ManyReceiver = (mpmc::Receiver<u64>, Places);

    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Task<T> {
        go!(f)
    }

    fn join<T: Send + 'static>(task: Self::Task<T>) -> T {
        task.join().expect("a coroutine that does not panic")
    }

    fn yield_now() {
        coroutine::yield_now();
    }

    fn sleep(time: Duration) {
        coroutine::sleep(time);
    }

    fn barrier(tasks: usize) -> Barrier {
        Barrier::new(tasks)
    }

    fn wait(barrier: &Barrier) {
        barrier.wait();
    }

    fn channel(places: usize) -> Result<(Self::Sender, Self::Receiver), Failure> {
        match places {
            0 => Err(Failure::absent("rendezvous channels")),
            _ => Ok(mpsc::channel()),
        }
    }

    fn reports() -> Result<(Self::Sender, Self::Receiver), Failure> {
        Ok(mpsc::channel())
    }

    fn send(sender: &Self::Sender, number: u64) {
        sender.send(number).expect("a receiver");
    }

    fn recv(receiver: &Self::Receiver) -> Option<u64> {
        receiver.recv().ok()
    }

    fn many(places: usize) -> (Self::ManySender, Self::ManyReceiver) {
        let (sender, receiver) = mpmc::channel();
        let places = Arc::new(Semphore::new(places));
        ((sender, Arc::clone(&places)), (receiver, places))
    }

    fn produce((sender, places): &Self::ManySender, end: u64) {
        for number in 0..end {
            places.wait();
            sender.send(number).expect("a consumer");
        }
    }

    /// By the quota, since may can lose the wake-up of one that starts to wait at the very moment when
    /// the last producer leaves.
    fn consume((receiver, places): &Self::ManyReceiver, quota: u64) -> u64 {
        (0..quota)
            .map(|_| {
                let number = receiver.recv().expect("a message for each in the quota");
                places.post();
                number
            })
            .sum()
    }

    /// Half as many as there can be mappings, without a thousand for everything else.
    fn capacity() -> u64 {
        let limit = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        let limit: Option<u64> = limit.and_then(|limit| limit.trim().parse().ok());
        limit.map_or(u64::MAX, |limit| limit.saturating_sub(1000) / 2)
    }
}
