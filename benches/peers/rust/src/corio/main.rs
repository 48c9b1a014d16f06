//! corio: goroutines, its channels and locks, and its sockets.

mod echo;
mod http;

use std::convert::identity;
use std::process::ExitCode;
use std::time::Duration;

use corio::channel::{Receiver, Sender, bounded};
use corio::select;
use corio::sync::{Barrier, Mutex, RwLock};
use corio_bench_peers::blocking::{self, Runtime, channel, lock};
use corio_bench_peers::work::Shared;
use corio_bench_peers::{Args, Failure, Outcome, locks, pong_by, run};

const VERSION: &str = concat!("corio ", env!("VERSION_corio"));

fn main() -> ExitCode {
    run("corio", VERSION, |args| {
        corio::Config::new().procs(args.procs()).init()?;
        workload(args)
    })
}

fn workload(args: &Args) -> Outcome {
    match args.workload.as_str() {
        "select" => {
            let pong: Option<channel::Pong<Corio>> = match args.arms {
                2 => Some(pong_by!(select => 0 1)),
                4 => Some(pong_by!(select => 0 1 2 3)),
                8 => Some(pong_by!(select => 0 1 2 3 4 5 6 7)),
                _ => None,
            };
            channel::select::<Corio>(args, pong)
        }
        "mutex" => lock::turns::<Corio, Mutex<Shared>>(args, 0),
        "rwlock" => lock::turns::<Corio, RwLock<Shared>>(args, args.reads),
        "serve-echo" => echo::serve(args),
        "serve-http" => http::serve(args),
        _ => blocking::workload::<Corio>(args),
    }
}

locks! { Corio;
    Mutex<Shared>: lock lock identity;
    RwLock<Shared>: read write identity;
}

struct Corio;

impl Runtime for Corio {
    type Task<T: Send + 'static> = corio::JoinHandle<T>;
    type Barrier = Barrier;
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;
    type ManySender = Sender<u64>;
    type ManyReceiver = Receiver<u64>;

    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Task<T> {
        corio::spawn(f)
    }

    fn join<T: Send + 'static>(task: Self::Task<T>) -> T {
        task.join().expect("a goroutine that does not panic")
    }

    #[inline(always)]
    fn yield_now() {
        corio::yield_now();
    }

    fn sleep(time: Duration) {
        corio::sleep(time);
    }

    fn barrier(tasks: usize) -> Barrier {
        Barrier::new(tasks)
    }

    fn wait(barrier: &Barrier) {
        barrier.wait();
    }

    fn channel(places: usize) -> Result<(Sender<u64>, Receiver<u64>), Failure> {
        Ok(bounded(places))
    }

    fn send(sender: &Sender<u64>, number: u64) {
        sender.send(number).expect("a receiver");
    }

    fn recv(receiver: &Receiver<u64>) -> Option<u64> {
        receiver.recv().ok()
    }

    fn many(places: usize) -> (Sender<u64>, Receiver<u64>) {
        bounded(places)
    }

    fn produce(sender: &Sender<u64>, end: u64) {
        (0..end).for_each(|number| sender.send(number).expect("a consumer"));
    }

    fn consume(receiver: &Receiver<u64>, _quota: u64) -> u64 {
        receiver.iter().sum()
    }
}
