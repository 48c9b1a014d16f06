//! `corio::dump()`: each kind of wait by its name, with the user's function in its stack; what runs and what
//! does not; groups. Crowds, a storm and SIGQUIT in processes of their own.

mod net_support;

use corio::reactor::WaitReason;
use corio::sync::{Barrier, Condvar, Mutex, Once, RwLock, Semaphore, WaitGroup};
use corio::{Dump, Goroutine, GoroutineDump, GoroutineStatus, JoinHandle, channel, select};
use corio_net::{Pollable, TcpListener, TcpStream};
use corio_tests::{child, wait_until, watchdog};
use net_support::{BlackHole, fill, listen, pair};
use std::future;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Functions that wait, each with a frame of its own: never inlined, the call that waits is not its last, and no two
/// do quite the same, or they would be made one.
macro_rules! waiting {
    ($($(#[$attribute:meta])* fn $name:ident($($arg:ident: $type:ty),*) $body:block)*) => {$(
        $(#[$attribute])*
        #[inline(never)]
        fn $name($($arg: $type),*) {
            $body
            black_box(());
        }
    )*};
}

waiting! {
    fn in_sleep() { corio::sleep(HOUR); }
    fn in_park() { corio::park(); }
    fn in_park_timeout() { corio::park_timeout(HOUR); }
    fn in_join(other: JoinHandle<()>) { other.join().unwrap(); }
    fn in_scope() { corio::scope(|s| drop(s.spawn(in_park))); }
    fn in_block_on() { corio::block_on(future::pending::<()>()); }
    fn in_send(tx: channel::Sender<u8>) { let _ = tx.send(1); }
    fn in_receive(rx: channel::Receiver<u8>) { let _ = rx.recv(); }
    fn in_receive_after() { channel::after(HOUR).recv().unwrap(); }
    fn in_select(a: channel::Receiver<u8>, b: channel::Receiver<u8>) {
        select! {
            recv(a) -> _ => {}
            recv(b) -> _ => {}
        }
    }
    fn in_lock(lock: &'static Mutex<u8>) { *lock.lock() += 1; }
    fn in_read(lock: &'static RwLock<u8>) { black_box(*lock.read()); }
    fn in_write(lock: &'static RwLock<u8>) { *lock.write() += 1; }
    fn in_condvar(condvar: Condvar) {
        let lock = Mutex::new(0);
        condvar.wait(&mut lock.lock());
    }
    fn in_semaphore(semaphore: Semaphore) { drop(semaphore.acquire()); }
    fn in_wait_group(group: WaitGroup) { group.wait(); }
    fn in_once(once: &'static Once) { once.call_once(|| ()); }
    fn in_first_once(once: &'static Once) { once.call_once(in_park); }
    fn in_barrier(barrier: Barrier) { barrier.wait(); }
    fn in_accept(listener: TcpListener) { drop(listener.accept()); }
    fn in_connect(addr: std::net::SocketAddr) { drop(TcpStream::connect(addr)); }
    fn in_net_read(stream: Arc<TcpStream>) { drop((&*stream).read(&mut [0])); }
    fn in_net_write(stream: Arc<TcpStream>) { drop((&*stream).write(&[0])); }
    fn in_net_lock(stream: Arc<TcpStream>) { drop((&*stream).write(&[0, 1])); }
    fn in_io(pollable: Pollable<UnixStream>) { drop(pollable.wait_readable()); }
    fn in_exact_read(stream: Arc<TcpStream>) { drop((&*stream).read_exact(&mut [0; 10])); }
    fn locked_to_its_thread() {
        let _lock = corio::lock_os_thread();
        corio::park();
    }
    fn in_a_destructor() {
        struct Parks;
        impl Drop for Parks {
            #[inline(never)]
            fn drop(&mut self) {
                corio::park();
                // Not what `in_park` does, or they would be made one.
                black_box("dropped");
            }
        }
        let _parks = Parks;
        if black_box(true) {
            std::panic::resume_unwind(Box::new(()));
        }
    }
    fn deep(n: usize) {
        if n == 0 { corio::park() } else { deep(n - 1) }
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// A lock that is never unlocked.
fn locked() -> &'static Mutex<u8> {
    let lock = leak(Mutex::new(0));
    std::mem::forget(lock.lock());
    lock
}

fn rwlocked() -> &'static RwLock<u8> {
    let lock = leak(RwLock::new(0));
    std::mem::forget(lock.write());
    lock
}

fn find<'d>(dump: &'d Dump, goroutine: &Goroutine) -> Option<&'d GoroutineDump> {
    dump.goroutines().iter().find(|g| g.id() == goroutine.id())
}

/// A dump in which the goroutine waits for this.
fn dump_of(goroutine: &Goroutine, reason: WaitReason) -> GoroutineDump {
    let mut found = None;
    wait_until(reason.as_str(), || {
        found = find(&corio::dump(), goroutine)
            .filter(|g| g.reason() == reason)
            .cloned();
        found.is_some()
    });
    found.unwrap()
}

/// Is this one of the functions? Without their modules, which line tables don't have, and what they are generic over.
fn shows(g: &GoroutineDump, function: &str) -> bool {
    let is = |name: &str| {
        let whole = name.starts_with('<') || !name.ends_with('>');
        let name = if whole {
            name
        } else {
            name.split('<').next().unwrap()
        };
        name.rsplit("::").next() == Some(function)
    };
    let mut shown = g.shown_frames().iter();
    shown.any(|frame| frame.function().is_some_and(is))
}

/// Spawns it, and finds it waiting for `reason` in its function.
#[track_caller]
fn check(
    function: &str,
    reason: WaitReason,
    spawn: impl FnOnce(corio::Builder) -> std::io::Result<JoinHandle<()>>,
) -> GoroutineDump {
    let handle = spawn(corio::Builder::new().name(function.into())).unwrap();
    let g = dump_of(handle.goroutine(), reason);
    assert_eq!(g.status(), GoroutineStatus::Waiting, "{g}");
    assert_eq!(g.name(), Some(function), "{g}");
    assert!(shows(&g, function), "{g:#}");
    for ours in [
        "suspend_current",
        "catch_unwind",
        "__rust_try",
        "stack_init_trampoline",
    ] {
        assert!(!shows(&g, ours), "{g}");
    }
    assert!(g.waited().is_some_and(|waited| waited < HOUR), "{g}");
    assert!(
        g.spawned_at()
            .is_some_and(|at| at.file().ends_with("dump.rs")),
        "{g}"
    );
    let text = g.to_string();
    assert!(text.contains(reason.as_str()), "{text}");
    assert!(text.contains("\ncreated at "), "{text}");
    g
}

macro_rules! check {
    ($reason:ident: $function:ident($($arg:expr),*)) => {{
        let call = ($($arg,)*);
        check(stringify!($function), WaitReason::$reason, move |builder| {
            builder.spawn(move || check!(@call $function, call, $($arg),*))
        })
    }};
    (@call $function:ident, $call:ident,) => {{ let () = $call; $function() }};
    (@call $function:ident, $call:ident, $a:expr) => {{ let (a,) = $call; $function(a) }};
    (@call $function:ident, $call:ident, $a:expr, $b:expr) => {{ let (a, b) = $call; $function(a, b) }};
}

#[test]
fn each_wait_is_named_and_shows_the_users_function() {
    let _dog = watchdog();
    let g = check!(Sleep: in_sleep());
    assert!(
        g.object().is_some_and(|left| left.ends_with("s left")),
        "{g}"
    );
    check!(Park: in_park());
    check!(Park: in_park_timeout());
    let other = corio::spawn(in_park);
    let id = other.goroutine().id();
    let g = check!(Join: in_join(other));
    assert_eq!(g.object(), Some(format!("goroutine {id}").as_str()));
    assert!(
        g.to_string().contains(&format!("[join goroutine {id}, ")),
        "{g}"
    );
    check!(Scope: in_scope());
    check!(BlockOn: in_block_on());
    let (tx, rx) = channel::bounded(0);
    check!(ChanSend: in_send(tx));
    let (kept_tx, empty) = channel::bounded(1);
    check!(ChanReceive: in_receive(empty.clone()));
    check!(ChanReceive: in_receive_after());
    check!(Select: in_select(empty.clone(), empty));
    drop((kept_tx, rx));
    let lock = locked();
    let first = check!(Mutex: in_lock(lock));
    let second = check!(Mutex: in_lock(lock));
    assert!(
        first.object().is_some_and(|lock| lock.starts_with("0x")),
        "{first}"
    );
    assert_eq!(
        first.object(),
        second.object(),
        "they wait for the same lock"
    );
    check!(RwLockRead: in_read(rwlocked()));
    check!(RwLockWrite: in_write(rwlocked()));
    check!(Condvar: in_condvar(Condvar::new()));
    check!(Semaphore: in_semaphore(Semaphore::new(0)));
    let group = WaitGroup::new();
    group.add(1);
    check!(WaitGroup: in_wait_group(group));
    let once = leak(Once::new());
    check!(Park: in_first_once(once));
    check!(Once: in_once(once));
    check!(Barrier: in_barrier(Barrier::new(2)));
}

#[test]
fn each_wait_for_the_network_names_its_addresses() {
    let _dog = watchdog();
    let (listener, addr) = listen();
    let g = check!(NetAccept: in_accept(listener));
    assert_eq!(g.object(), Some(addr.to_string().as_str()));

    let hole = BlackHole::at("127.0.0.1:0");
    check!(NetConnect: in_connect(hole.addr));

    let (a, b) = pair();
    let (here, there) = (a.local_addr().unwrap(), a.peer_addr().unwrap());
    let a = Arc::new(a);
    let g = check!(NetRead: in_net_read(Arc::clone(&a)));
    let expected = format!("net read on {here} <- {there}, ");
    assert!(g.to_string().contains(&expected), "{expected}: {g}");
    fill(&a);
    let g = check!(NetWrite: in_net_write(Arc::clone(&a)));
    assert_eq!(g.object(), Some(format!("{here} -> {there}").as_str()));
    let g = check!(NetLock: in_net_lock(Arc::clone(&a)));
    assert_eq!(g.object(), Some(format!("{here} -> {there}").as_str()));
    a.close().unwrap();
    drop(b);

    let (c, _d) = pair();
    check!(NetRead: in_exact_read(Arc::new(c)));

    let (e, _f) = UnixStream::pair().unwrap();
    e.set_nonblocking(true).unwrap();
    let g = check!(Io: in_io(Pollable::new(e).unwrap()));
    assert!(g.object().is_some_and(|fd| fd.starts_with("fd ")), "{g}");
}

#[test]
fn a_worker_without_work_is_one() {
    let _dog = watchdog();
    let pool = corio::pool::WorkerPool::builder()
        .name_prefix("idler")
        .build();
    pool.submit(|| ()).unwrap();
    wait_until("a worker idles", || {
        let dump = corio::dump();
        let mut all = dump.goroutines().iter();
        all.any(|g| g.reason() == WaitReason::Worker && !g.shown_frames().is_empty())
    });
}

#[test]
fn goroutines_that_block_their_thread_are_walked_too() {
    let _dog = watchdog();
    check!(Park: locked_to_its_thread());
    let g = check!(Park: in_a_destructor());
    assert!(shows(&g, "drop"), "{g}");
}

#[inline(never)]
fn burns(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
    black_box(());
}

#[test]
fn who_runs_is_on_a_thread() {
    let _dog = watchdog();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let burning = corio::Builder::new()
        .name("burner".into())
        .spawn(move || burns(&stopped))
        .unwrap();
    let (tx, rx) = mpsc::channel::<()>();
    let blocked = corio::spawn(move || corio::blocking(|| rx.recv().unwrap_err()));
    let mut found = None;
    wait_until("one runs and one is blocked", || {
        let dump = corio::dump();
        let status = |handle: &Goroutine| find(&dump, handle).map(GoroutineDump::status);
        let burner = find(&dump, burning.goroutine());
        // It may have had no processor for a while.
        let done = burner.is_some_and(|g| shows(g, "burns"))
            && status(blocked.goroutine()) == Some(GoroutineStatus::Syscall);
        found = Some(dump.clone());
        done
    });
    let dump = found.unwrap();
    let burner = find(&dump, burning.goroutine()).unwrap();
    let blocker = find(&dump, blocked.goroutine()).unwrap();
    for g in [burner, blocker] {
        let thread = g.thread().unwrap();
        let expected = format!(" on M {} (thread {})]:\n", thread.m(), thread.tid());
        assert!(g.to_string().contains(&expected), "{g}");
        assert_eq!(g.reason(), WaitReason::None);
        assert_eq!(g.waited(), None);
    }
    assert_ne!(burner.thread(), blocker.thread());
    assert_eq!(burner.status(), GoroutineStatus::Running);
    assert_eq!(burner.name(), Some("burner"));
    assert!(blocker.frames().is_empty());
    assert!(
        blocker.to_string().contains("[syscall/blocking on"),
        "{blocker}"
    );
    stop.store(true, Ordering::Relaxed);
    drop(tx);
    burning.join().unwrap();
    blocked.join().unwrap();
}

#[inline(never)]
fn asks_for_a_dump() -> Dump {
    black_box(corio::dump())
}

#[test]
fn the_caller_comes_first_with_its_own_stack() {
    let _dog = watchdog();
    let others: Vec<_> = (0..10).map(|_| corio::spawn(in_park)).collect();
    let me = corio::Builder::new()
        .name("dumper".into())
        // As little stack as there can be: the work is done elsewhere.
        .stack_size(16 * 1024)
        .spawn(|| (asks_for_a_dump(), corio::current().id()))
        .unwrap();
    let (dump, id) = me.join().unwrap();
    let first = &dump.goroutines()[0];
    assert_eq!(first.id(), id);
    assert_eq!(first.status(), GoroutineStatus::Running);
    assert_eq!(first.name(), Some("dumper"));
    assert!(shows(first, "asks_for_a_dump"), "{first:#}");
    let ids: Vec<u64> = dump.goroutines()[1..]
        .iter()
        .map(GoroutineDump::id)
        .collect();
    assert!(ids.is_sorted());
    for other in others {
        other.goroutine().unpark();
        other.join().unwrap();
    }
}

#[test]
fn a_deep_stack_is_cut() {
    let _dog = watchdog();
    let g = check!(Park: deep(400));
    assert!(g.is_cut());
    let count = g.frames().iter().filter(|frame| {
        frame
            .function()
            .is_some_and(|name| name.rsplit("::").next() == Some("deep"))
    });
    assert!((100..=128).contains(&count.count()), "{}", g.frames().len());
    assert!(g.to_string().contains("\n... and more frames\n"), "{g}");
}

#[test]
fn equal_stacks_make_a_group() {
    let _dog = watchdog();
    const N: usize = 25;
    let handles: Vec<_> = (0..N).map(|_| corio::spawn(in_park)).collect();
    let ids: Vec<u64> = handles
        .iter()
        .map(|handle| handle.goroutine().id())
        .collect();
    let mut dump = Dump::default();
    wait_until("they are a group", || {
        dump = corio::dump();
        dump.groups()
            .iter()
            .any(|group| ids.iter().eq(group.ids().collect::<Vec<_>>().iter()))
    });
    let groups = dump.groups();
    assert_eq!(
        groups.iter().map(|group| group.count()).sum::<usize>(),
        dump.goroutines().len()
    );
    assert!(
        groups
            .as_slice()
            .is_sorted_by(|a, b| a.count() >= b.count())
    );
    let group = groups
        .iter()
        .find(|group| group.ids().eq(ids.iter().copied()))
        .unwrap();
    assert_eq!(group.count(), N);
    assert!(shows(group.example(), "in_park"));
    let (shortest, longest) = group.waited().unwrap();
    assert!(shortest <= longest);
    let text = group.to_string();
    assert!(text.starts_with("25 goroutines [park, "), "{text}");
    assert!(text.contains(" ... and 15 more\n"), "{text}");
    assert!(groups.to_string().contains(&text));
    for handle in handles {
        handle.goroutine().unpark();
        handle.join().unwrap();
    }
}

#[test]
fn a_program_without_goroutines_has_an_empty_dump() {
    child!("dump_nothing").succeeds();
}

#[test]
fn who_has_not_run_has_no_stack() {
    child!("dump_never_run")
        .env("CORIO_PROCS", 1)
        .env("CORIO_MAX_BURNERS", 0)
        .succeeds();
}

#[test]
fn who_waits_for_a_stack_says_so() {
    child!("dump_needs_stack")
        .address_space(2700 << 20)
        .succeeds();
}

#[test]
fn a_hundred_thousand_are_dumped_beside_the_service() {
    let outcome = child!("dump_crowd")
        .limit(Duration::from_secs(240))
        .succeeds();
    println!("{outcome}");
    // Generous, for machines where everything else runs at the same time.
    assert!(outcome.number("latest tick (us)") < 500_000, "{outcome}");
    assert!(
        outcome.number("memory of the dump (KiB)") < 100_000,
        "{outcome}"
    );
}

#[test]
fn goroutines_that_come_and_go_can_be_dumped() {
    child!("dump_storm")
        .limit(Duration::from_secs(240))
        .succeeds();
    child!("dump_storm")
        .env("CORIO_MIGRATE", "always")
        .env("CORIO_PROCS", 4)
        .limit(Duration::from_secs(240))
        .succeeds();
}

#[test]
fn sigquit_dumps_and_the_program_goes_on() {
    child!("dump_sigquit").env("CORIO_DUMP", 1).succeeds();
    child!("dump_sigquit").arg("config").succeeds();
}

#[test]
fn a_deadlock_shows_where_everybody_waits() {
    child!("dump_deadlock")
        .env("CORIO_DUMP", 1)
        .panics()
        .says("all goroutines are asleep - deadlock!")
        .says("goroutine 1 \"main\" [join goroutine ")
        .says("30 goroutines [chan receive, ")
        .says("waits_for_ever");
}
