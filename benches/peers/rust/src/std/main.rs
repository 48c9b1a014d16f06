//! The standard library: a thread per task, and its locks. The channels are crossbeam's, which std has
//! taken its own from, without those for many receivers and without `select!`.
//!
//! `--procs` is the number of CPUs that the process may use.

mod echo;

use std::process::ExitCode;
use std::sync::{Barrier, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io, mem};

use corio_bench_peers::blocking::{self, Runtime, channel, lock};
use corio_bench_peers::work::Shared;
use corio_bench_peers::{Args, Failure, Outcome, locks, pong_by, run};
use crossbeam_channel::{Receiver, Sender, bounded, select};

const VERSION: &str = concat!("std, crossbeam-channel ", env!("VERSION_crossbeam_channel"));

fn main() -> ExitCode {
    run("std", VERSION, |args| {
        restrict(args.procs())?;
        workload(args)
    })
}

fn workload(args: &Args) -> Outcome {
    match args.workload.as_str() {
        "select" => {
            let pong: Option<channel::Pong<Threads>> = match args.arms {
                2 => Some(pong_by!(select => 0 1)),
                4 => Some(pong_by!(select => 0 1 2 3)),
                8 => Some(pong_by!(select => 0 1 2 3 4 5 6 7)),
                _ => None,
            };
            channel::select::<Threads>(args, pong)
        }
        "mutex" => lock::turns::<Threads, Mutex<Shared>>(args, 0),
        "rwlock" => lock::turns::<Threads, RwLock<Shared>>(args, args.reads),
        "serve-echo" => echo::serve(args),
        _ => blocking::workload::<Threads>(args),
    }
}

/// Lets the process use only so many of its CPUs, the first ones.
fn restrict(count: usize) -> io::Result<()> {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: all zeros is an empty set.
    let (mut allowed, mut first): (libc::cpu_set_t, libc::cpu_set_t) = unsafe { mem::zeroed() };
    // SAFETY: `allowed` is a valid place for the result, of the size that is given.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut allowed) } != 0 {
        return Err(io::Error::last_os_error());
    }
    (0..libc::CPU_SETSIZE as usize)
        // SAFETY: the CPU is below the size of the set, here and in the next line.
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &allowed) })
        .take(count)
        // SAFETY: as above.
        .for_each(|cpu| unsafe { libc::CPU_SET(cpu, &mut first) });
    // SAFETY: a valid set of the size that is given.
    if unsafe { libc::sched_setaffinity(0, size, &raw const first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

locks! { Threads;
    Mutex<Shared>: lock lock Result::unwrap;
    RwLock<Shared>: read write Result::unwrap;
}

struct Threads;

impl Runtime for Threads {
    type Task<T: Send + 'static> = JoinHandle<T>;
    type Barrier = Barrier;
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;
    type ManySender = Sender<u64>;
    type ManyReceiver = Receiver<u64>;

    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Task<T> {
        thread::spawn(f)
    }

    fn join<T: Send + 'static>(task: Self::Task<T>) -> T {
        task.join().expect("a thread that does not panic")
    }

    fn yield_now() {
        thread::yield_now();
    }

    fn sleep(time: Duration) {
        thread::sleep(time);
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

    /// Each thread takes a number, and two mappings, one of which is its guard page. A quarter is left to
    /// others.
    fn capacity() -> u64 {
        let limit = |name| {
            let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let numbers = ["kernel/threads-max", "kernel/pid_max"].map(limit);
        let mappings = limit("vm/max_map_count").map(|count| count / 2);
        let least = numbers.into_iter().chain([mappings]).flatten().min();
        least.map_or(u64::MAX, |least| least / 4 * 3)
    }
}
