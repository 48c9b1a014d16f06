//! Signals, each scenario in a process that may die of them.

use crate::Scenario;
use corio::channel::{self, Receiver, TryRecvError};
use corio::context::Context;
use corio::select;
use corio::signal::{self, Received, SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use corio::signal::{Signal, is_ignored, notify, notify_context};
use corio_tests::{threads, wait_until};
use std::error::Error;
use std::fmt;
use std::mem;
use std::process::{Child, Command};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("signal_arrives", signal_arrives),
    ("signal_arrives_for_all", signal_arrives_for_all),
    ("signal_full", signal_full),
    ("signal_dropped", signal_dropped),
    ("signal_dropped_last", signal_dropped_last),
    ("signal_dropped_harmless", signal_dropped_harmless),
    ("signal_chained", signal_chained),
    ("signal_ignored", signal_ignored),
    ("signal_ignored_before", signal_ignored_before),
    ("signal_reset", signal_reset),
    ("signal_reset_dies", signal_reset_dies),
    ("signal_context", signal_context),
    ("signal_context_stop", signal_context_stop),
    ("signal_context_parent", signal_context_parent),
    ("signal_context_panic", signal_context_panic),
    ("signal_storm", signal_storm),
    ("signal_threads", signal_threads),
    ("signal_run", signal_run),
    ("signal_run_context", signal_run_context),
    ("signal_deadlock", signal_deadlock),
    ("signal_deadlock_stopped", signal_deadlock_stopped),
    ("signal_deadlock_done", signal_deadlock_done),
];

/// What the tests start from, whatever they were started with: in the background SIGINT is ignored, and under
/// nohup SIGHUP.
fn defaults() {
    for signal in [SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD, SIGWINCH] {
        // SAFETY: no memory is passed.
        unsafe { libc::signal(signal.as_raw(), libc::SIG_DFL) };
    }
}

/// Longer than a deadlock takes to be found.
const A_WHILE: &str = "1";

fn raise(signal: Signal) {
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal.as_raw()) }, 0);
}

/// What the system does with the signal: the handler, or the number of the default or to ignore it.
fn action(signal: Signal) -> libc::sigaction {
    // SAFETY: all zero is a valid value; the pointer is valid, and nothing is changed.
    unsafe {
        let mut action = mem::zeroed();
        assert_eq!(
            libc::sigaction(signal.as_raw(), ptr::null(), &mut action),
            0
        );
        action
    }
}

/// For processes that only a signal may end.
fn wait_for_death() -> ! {
    thread::sleep(Duration::from_secs(30));
    panic!("the signal did nothing");
}

/// From a process of its own, so that no thread of ours is there, after a while.
fn raise_later(signal: Signal) -> Child {
    let signal = signal.as_raw();
    Command::new("sh")
        .args(["-c", &format!("sleep {A_WHILE}; kill -{signal} $PPID")])
        .spawn()
        .unwrap()
}

/// `TestSignal`: to goroutines and to plain threads.
fn signal_arrives(_: &[String]) {
    defaults();
    let hup = notify(&[SIGHUP]).unwrap();
    for _ in 0..50 {
        raise(SIGHUP);
        assert_eq!(hup.recv(), Ok(SIGHUP));
    }
    let hup = corio::spawn(move || {
        for _ in 0..50 {
            raise(SIGHUP);
            assert_eq!(hup.recv(), Ok(SIGHUP));
        }
        hup
    })
    .join()
    .unwrap();
    let winch = notify(&[SIGWINCH, SIGUSR1]).unwrap();
    let handle = corio::spawn(move || {
        select! {
            recv(hup) -> _ => unreachable!(),
            recv(winch) -> signal => assert_eq!(signal, Ok(SIGWINCH)),
        }
    });
    raise(SIGWINCH);
    handle.join().unwrap();
}

fn signal_arrives_for_all(_: &[String]) {
    defaults();
    let all: Vec<Receiver<Signal>> = [
        &[SIGHUP][..],
        &[SIGHUP, SIGUSR1],
        &[SIGUSR1],
        &[SIGHUP, SIGHUP, SIGUSR1],
    ]
    .into_iter()
    .map(|signals| notify(signals).unwrap())
    .collect();
    raise(SIGHUP);
    for i in [0, 1, 3] {
        assert_eq!(all[i].recv(), Ok(SIGHUP));
    }
    raise(SIGUSR1);
    for i in [1, 2, 3] {
        assert_eq!(all[i].recv(), Ok(SIGUSR1));
    }
    for receiver in &all {
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    }
}

/// Nobody waits for a slow receiver.
fn signal_full(_: &[String]) {
    defaults();
    let slow = notify(&[SIGUSR1]).unwrap();
    let quick = notify(&[SIGUSR1]).unwrap();
    for _ in 0..slow.capacity().unwrap() + 10 {
        raise(SIGUSR1);
        assert_eq!(quick.recv(), Ok(SIGUSR1));
    }
    assert!(slow.is_full());
    assert_eq!(slow.try_iter().count(), slow.capacity().unwrap());
    raise(SIGUSR1);
    assert_eq!(slow.recv(), Ok(SIGUSR1));
}

/// `TestStop`: the default is back.
fn signal_dropped(_: &[String]) {
    defaults();
    let signals = notify(&[SIGTERM]).unwrap();
    raise(SIGTERM);
    assert_eq!(signals.recv(), Ok(SIGTERM));
    drop(signals);
    raise(SIGTERM);
    wait_for_death();
}

fn signal_dropped_last(_: &[String]) {
    defaults();
    let first = notify(&[SIGINT, SIGTERM]).unwrap();
    let second = notify(&[SIGINT]).unwrap();
    let clone = second.clone();
    drop((first, second));
    raise(SIGINT);
    assert_eq!(clone.recv(), Ok(SIGINT));
    drop(clone);
    // Put back as soon as anybody subscribes to anything.
    let other = notify(&[SIGUSR1]).unwrap();
    assert_eq!(action(SIGTERM).sa_sigaction, libc::SIG_DFL);
    assert_eq!(action(SIGINT).sa_sigaction, libc::SIG_DFL);
    // And it can be taken again.
    let again = notify(&[SIGINT]).unwrap();
    raise(SIGINT);
    assert_eq!(again.recv(), Ok(SIGINT));
    drop((again, other));
    raise(SIGINT);
    wait_for_death();
}

/// Signals whose default is to do nothing.
fn signal_dropped_harmless(_: &[String]) {
    defaults();
    let other = notify(&[SIGUSR1]).unwrap();
    for _ in 0..20 {
        let signals = notify(&[SIGCHLD, SIGWINCH]).unwrap();
        raise(SIGCHLD);
        assert_eq!(signals.recv(), Ok(SIGCHLD));
        drop(signals);
        raise(SIGWINCH);
        raise(SIGUSR1);
        assert_eq!(other.recv(), Ok(SIGUSR1));
    }
    wait_until("the default is back", || {
        raise(SIGWINCH);
        action(SIGWINCH).sa_sigaction == libc::SIG_DFL
    });
}

/// A handler that was there before is called before, during and after.
fn signal_chained(_: &[String]) {
    defaults();
    static CALLED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: libc::c_int) {
        CALLED.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: all zero is a valid value; the handler only counts.
    let set = |signal: Signal| unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        let number = signal.as_raw();
        assert_eq!(libc::sigaction(number, &action, ptr::null_mut()), 0);
    };
    set(SIGUSR1);
    let called = |n| wait_until("called", || CALLED.load(Ordering::SeqCst) == n);
    raise(SIGUSR1);
    called(1);
    let signals = notify(&[SIGUSR1]).unwrap();
    raise(SIGUSR1);
    assert_eq!(signals.recv(), Ok(SIGUSR1));
    called(2);
    drop(signals);
    raise(SIGUSR1);
    called(3);
    signal::reset(&[SIGUSR1]);
    raise(SIGUSR1);
    called(4);
    assert_eq!(action(SIGUSR1).sa_sigaction, count as *const () as usize);
    // What is put back is what was there last, not first.
    signal::ignore(&[SIGUSR2]).unwrap();
    signal::reset(&[SIGUSR2]);
    set(SIGUSR2);
    drop(notify(&[SIGUSR2]).unwrap());
    signal::reset(&[SIGUSR2]);
    assert_eq!(action(SIGUSR2).sa_sigaction, count as *const () as usize);
    signal::ignore(&[SIGUSR2]).unwrap();
    signal::reset(&[SIGUSR2]);
    assert_eq!(action(SIGUSR2).sa_sigaction, count as *const () as usize);
}

/// `TestIgnore`, `TestIgnored`.
fn signal_ignored(_: &[String]) {
    defaults();
    assert!(!is_ignored(SIGINT));
    let both = notify(&[SIGINT, SIGUSR1]).unwrap();
    let one = notify(&[SIGINT]).unwrap();
    signal::ignore(&[SIGINT]).unwrap();
    assert!(is_ignored(SIGINT));
    raise(SIGINT);
    raise(SIGUSR1);
    assert_eq!(both.recv(), Ok(SIGUSR1));
    assert!(one.recv().is_err(), "disconnected");
    assert_eq!(both.try_recv(), Err(TryRecvError::Empty));
    // Subscribing takes it back; what is put back afterwards is what was there at first.
    let again = notify(&[SIGINT]).unwrap();
    assert!(!is_ignored(SIGINT));
    raise(SIGINT);
    assert_eq!(again.recv(), Ok(SIGINT));
    drop(again);
    raise(SIGINT);
    wait_for_death();
}

/// As under `nohup`: who subscribes gets it, and then it is ignored again.
fn signal_ignored_before(_: &[String]) {
    defaults();
    // SAFETY: no memory is passed.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    assert!(is_ignored(SIGHUP));
    let signals = notify(&[SIGHUP]).unwrap();
    raise(SIGHUP);
    assert_eq!(signals.recv(), Ok(SIGHUP));
    drop(signals);
    raise(SIGHUP);
    wait_until("ignored again", || is_ignored(SIGHUP));
    raise(SIGHUP);
    signal::ignore(&[]).unwrap();
    signal::reset(&[SIGHUP]);
    assert!(is_ignored(SIGHUP));
}

/// `TestReset`.
fn signal_reset(_: &[String]) {
    defaults();
    let signals = notify(&[SIGWINCH, SIGHUP]).unwrap();
    let (ctx, stop) = notify_context(&Context::background(), &[SIGWINCH]).unwrap();
    signal::reset(&[SIGWINCH, SIGUSR2]);
    assert_eq!(action(SIGWINCH).sa_sigaction, libc::SIG_DFL);
    raise(SIGWINCH);
    raise(SIGHUP);
    assert_eq!(signals.recv(), Ok(SIGHUP));
    assert!(ctx.err().is_none());
    drop(stop);
    signal::reset(&[SIGHUP]);
    assert!(signals.recv().is_err());
}

fn signal_reset_dies(_: &[String]) {
    defaults();
    let _signals = notify(&[SIGTERM]).unwrap();
    signal::reset(&[SIGTERM]);
    raise(SIGTERM);
    wait_for_death();
}

/// `TestNotifyContextNotifications`.
fn signal_context(_: &[String]) {
    defaults();
    let (ctx, stop) = notify_context(&Context::background(), &[SIGINT, SIGTERM]).unwrap();
    let (child, _) = ctx.with_cancel();
    let waiting = corio::spawn(move || child.done().recv().is_err());
    raise(SIGINT);
    assert!(waiting.join().unwrap());
    let cause = ctx.cause().unwrap();
    assert_eq!(cause.downcast_ref(), Some(&Received(SIGINT)));
    // Until it is stopped another one changes nothing.
    let other = notify(&[SIGINT]).unwrap();
    raise(SIGINT);
    assert_eq!(other.recv(), Ok(SIGINT));
    drop(other);
    raise(SIGINT);
    stop.stop();
    assert_eq!(action(SIGTERM).sa_sigaction, libc::SIG_DFL);
    raise(SIGTERM);
    wait_for_death();
}

/// `TestNotifyContextStop`.
fn signal_context_stop(_: &[String]) {
    defaults();
    let (ctx, stop) = notify_context(&Context::background(), &[SIGHUP]).unwrap();
    assert_ne!(action(SIGHUP).sa_sigaction, libc::SIG_DFL);
    drop(stop);
    assert_eq!(ctx.cause().unwrap().to_string(), "context canceled");
    assert_eq!(action(SIGHUP).sa_sigaction, libc::SIG_DFL);
}

/// `TestNotifyContextCancelParent`, `TestNotifyContextPrematureCancelParent`.
fn signal_context_parent(_: &[String]) {
    defaults();
    let (parent, cancel) = Context::background().with_cancel();
    let (ctx, stop) = notify_context(&parent, &[SIGINT]).unwrap();
    cancel.cancel();
    assert!(ctx.done().recv().is_err());
    drop(stop);
    let (ctx, stop) = notify_context(&parent, &[SIGINT]).unwrap();
    assert!(ctx.err().is_some());
    // It is still the context's, and does nothing.
    raise(SIGINT);
    let other = notify(&[SIGINT]).unwrap();
    raise(SIGINT);
    assert_eq!(other.recv(), Ok(SIGINT));
    drop((stop, other));
}

/// A destructor that panics on the thread that delivers doesn't end it.
fn signal_context_panic(_: &[String]) {
    #[derive(Debug)]
    struct Bomb(channel::Sender<()>);
    impl fmt::Display for Bomb {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("too late")
        }
    }
    impl Error for Bomb {}
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
            panic!("in a destructor");
        }
    }
    defaults();
    let (sender, dropped) = channel::unbounded();
    let (ctx, stop) = notify_context(&Context::background(), &[SIGUSR1]).unwrap();
    let hour = Duration::from_secs(3600);
    let (child, _cancel) = ctx.with_timeout_cause(hour, Bomb(sender));
    raise(SIGUSR1);
    assert_eq!(dropped.recv(), Ok(()));
    assert!(child.err().is_some());
    stop.stop();
    let signals = notify(&[SIGUSR1]).unwrap();
    raise(SIGUSR1);
    assert_eq!(signals.recv(), Ok(SIGUSR1));
}

/// `TestStress`, `TestAtomicStop`: signals at any moment, on goroutines' stacks too, while subscriptions come
/// and go.
fn signal_storm(_: &[String]) {
    defaults();
    let quit = Arc::new(AtomicBool::new(false));
    let always = notify(&[SIGUSR1]).unwrap();
    assert_ne!(action(SIGUSR1).sa_flags & libc::SA_ONSTACK, 0);
    let goroutines: Vec<_> = (0..20)
        .map(|i| {
            let quit = Arc::clone(&quit);
            let work = move || {
                while !quit.load(Ordering::Relaxed) {
                    match i % 3 {
                        0 => corio::yield_now(),
                        1 => corio::sleep(Duration::from_micros(50)),
                        _ => drop(notify(&[SIGUSR1, SIGUSR2]).unwrap()),
                    }
                }
            };
            // The smallest there are.
            let small = corio::Builder::new().stack_size(if i % 3 == 2 { 1 << 18 } else { 1 });
            small.spawn(work).unwrap()
        })
        .collect();
    let pid = std::process::id();
    let mut sent = 0;
    for _ in 0..200 {
        for tid in threads() {
            // SAFETY: no memory is passed. The thread may be gone, which is all right.
            let sent_it = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, libc::SIGUSR1) };
            sent += usize::from(sent_it == 0);
        }
        assert!(always.recv_timeout(Duration::from_secs(30)).is_ok());
    }
    quit.store(true, Ordering::Relaxed);
    goroutines.into_iter().for_each(|g| g.join().unwrap());
    assert!(sent > 200);
    // Some may still be on their way, and would find nobody.
    signal::ignore(&[SIGUSR1]).unwrap();
}

/// One thread, from the first use on, whatever the number of subscriptions.
fn signal_threads(_: &[String]) {
    defaults();
    corio::spawn(|| ()).join().unwrap();
    let named = || {
        threads()
            .into_iter()
            .filter_map(|tid| std::fs::read_to_string(format!("/proc/self/task/{tid}/comm")).ok())
            .filter(|name| name.trim_end() == "corio-signal")
            .count()
    };
    assert!(!is_ignored(SIGUSR1));
    signal::reset(&[SIGUSR1]);
    assert_eq!(named(), 0);
    let all: Vec<_> = (0..10).map(|_| notify(&[SIGUSR1]).unwrap()).collect();
    raise(SIGUSR1);
    for receiver in &all {
        assert_eq!(receiver.recv(), Ok(SIGUSR1));
    }
    assert_eq!(named(), 1);
}

/// No deadlock: a signal may come.
fn signal_run(_: &[String]) {
    defaults();
    let signal = corio::run(|| {
        let signals = notify(&[SIGTERM]).unwrap();
        let mut shell = raise_later(SIGTERM);
        let signal = signals.recv();
        shell.wait().unwrap();
        signal
    });
    assert_eq!(signal, Ok(SIGTERM));
}

fn signal_run_context(_: &[String]) {
    defaults();
    corio::run(|| {
        let (ctx, _stop) = notify_context(&Context::background(), &[SIGTERM]).unwrap();
        let mut shell = raise_later(SIGTERM);
        ctx.done().recv().unwrap_err();
        shell.wait().unwrap();
    });
}

fn signal_deadlock(_: &[String]) {
    defaults();
    corio::run(|| {
        drop(notify(&[SIGTERM]).unwrap());
        corio::park();
    });
}

fn signal_deadlock_stopped(_: &[String]) {
    defaults();
    corio::run(|| {
        let (_ctx, stop) = notify_context(&Context::background(), &[SIGTERM]).unwrap();
        stop.stop();
        corio::park();
    });
}

/// The context is done: a signal wakes nobody any more.
fn signal_deadlock_done(_: &[String]) {
    defaults();
    corio::run(|| {
        let (ctx, _stop) = notify_context(&Context::background(), &[SIGTERM]).unwrap();
        raise(SIGTERM);
        ctx.done().recv().unwrap_err();
        corio::park();
    });
}
