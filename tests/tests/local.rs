//! Goroutine-local values: whose they are, how long they live, and what happens at the end.

use corio::local::{AccessError, LocalKey};
use corio::{goroutine_local, yield_now};
use corio_tests::{Child, Drops, Token, watchdog};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// Runs `f` in a goroutine and on a thread of its own, each time to its end.
fn on_both(f: fn()) {
    corio::spawn(f).join().unwrap();
    std::thread::spawn(f).join().unwrap();
}

goroutine_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// With an attribute, and lazily.
    pub(crate) static WORDS: RefCell<Vec<String>> = RefCell::new(vec!["first".to_owned()])
}

#[test]
fn everybody_has_its_own() {
    let _watchdog = watchdog();
    COUNT.set(1_000);
    let handles: Vec<_> = (0..100)
        .map(|n| {
            corio::spawn(move || {
                assert_eq!(COUNT.get(), 0);
                COUNT.set(n);
                for round in 0..20 {
                    yield_now();
                    if round == 10 {
                        corio::sleep(Duration::from_micros(100));
                    }
                    assert_eq!(COUNT.get(), n);
                }
                COUNT.replace(0)
            })
        })
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), n);
    }
    let other = std::thread::spawn(|| COUNT.get());
    assert_eq!(other.join().unwrap(), 0);
    assert_eq!(COUNT.get(), 1_000);
}

#[test]
fn a_reference_stays_good_across_switches() {
    let _watchdog = watchdog();
    let handles: Vec<_> = (0..20)
        .map(|n| {
            corio::spawn(move || {
                WORDS.with(|words| {
                    let before = std::ptr::from_ref(words);
                    for round in 0..50 {
                        words.borrow_mut().push(format!("{n}-{round}"));
                        yield_now();
                        // Others are made meanwhile, so that the table grows.
                        COUNT.set(round);
                    }
                    corio::sleep(Duration::from_millis(1));
                    assert_eq!(words.borrow().len(), 51);
                    assert!(WORDS.with(|again| std::ptr::eq(again, before)));
                });
                WORDS.with_borrow_mut(|words| {
                    words.truncate(2);
                    yield_now();
                    words.clone()
                })
            })
        })
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), ["first", &format!("{n}-0")]);
    }
}

#[test]
fn all_methods_of_cells() {
    on_both(|| {
        goroutine_local! {
            static CELL: Cell<u32> = Cell::new(1);
            static REF: RefCell<String> = RefCell::new("a".into());
        }
        assert_eq!(CELL.get(), 1);
        CELL.set(2);
        assert_eq!(CELL.replace(3), 2);
        CELL.update(|n| n + 1);
        assert_eq!(CELL.take(), 4);
        assert_eq!(CELL.with(Cell::get), 0);
        assert_eq!(CELL.try_with(Cell::get), Ok(0));

        REF.with_borrow_mut(|text| text.push('b'));
        assert_eq!(REF.with_borrow(String::len), 2);
        assert_eq!(REF.replace("c".into()), "ab");
        assert_eq!(REF.take(), "c");
        REF.set("d".into());
        assert_eq!(REF.with_borrow(String::clone), "d");
        assert!(format!("{CELL:?}").starts_with("LocalKey"));
    });
}

#[test]
fn setting_first_spares_the_initial_value() {
    on_both(|| {
        goroutine_local! {
            static CELL: Cell<u32> = panic!("not computed");
            static REF: RefCell<u32> = panic!("not computed");
        }
        CELL.set(5);
        assert_eq!(CELL.get(), 5);
        REF.set(6);
        assert_eq!(REF.with_borrow(|n| *n), 6);
    });
}

#[test]
fn it_is_made_with_the_first_use() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    goroutine_local!(static LAZY: usize = MADE.fetch_add(1, Ordering::SeqCst));
    let idle = corio::spawn(yield_now);
    idle.join().unwrap();
    assert_eq!(MADE.load(Ordering::SeqCst), 0);
    let user = corio::spawn(|| {
        assert_eq!(LAZY.with(|n| *n), 0);
        assert_eq!(LAZY.with(|n| *n), 0);
    });
    user.join().unwrap();
    assert_eq!(MADE.load(Ordering::SeqCst), 1);
}

#[test]
fn an_initial_value_that_panics_is_tried_again() {
    on_both(|| {
        goroutine_local! {
            static TRIES: Cell<u32> = const { Cell::new(0) };
            static SECOND: u32 = {
                TRIES.update(|n| n + 1);
                assert!(TRIES.get() > 1, "on purpose");
                TRIES.get()
            };
        }
        assert!(catch_unwind(|| SECOND.with(|n| *n)).is_err());
        assert_eq!(SECOND.with(|n| *n), 2);
        assert_eq!(SECOND.with(|n| *n), 2);
    });
}

#[test]
fn an_initial_value_may_block_and_use_itself() {
    let _watchdog = watchdog();
    on_both(|| {
        goroutine_local! {
            static DEPTH: Cell<u32> = const { Cell::new(0) };
            static SELF: u32 = {
                corio::sleep(Duration::from_micros(200));
                let depth = DEPTH.replace(DEPTH.get() + 1);
                if depth < 3 { SELF.with(|inner| *inner + 100) } else { depth }
            };
        }
        // The innermost was made first and stays.
        assert_eq!(SELF.with(|n| *n), 3);
    });
}

#[test]
fn values_are_dropped_before_join_returns() {
    let _watchdog = watchdog();
    static COUNTED: std::sync::OnceLock<&'static Drops> = std::sync::OnceLock::new();
    goroutine_local!(static TOKEN: Token = COUNTED.get().unwrap().token());
    let drops = COUNTED.get_or_init(Drops::new);
    for n in 1..=50 {
        corio::spawn(|| TOKEN.with(|_| yield_now())).join().unwrap();
        assert_eq!(drops.count(), n);
    }
    // A panic makes no difference.
    let panics = corio::spawn(|| TOKEN.with(|_| panic!("on purpose")));
    assert!(panics.join().is_err());
    assert_eq!(drops.count(), 51);
    // Nor does `block_on`, which is a goroutine's own affair.
    let future = corio::spawn(|| corio::block_on(async { TOKEN.with(|_| ()) }));
    future.join().unwrap();
    assert_eq!(drops.count(), 52);
    // A scope's are gone when the scope ends, joined by hand or not.
    corio::scope(|s| {
        for _ in 0..10 {
            s.spawn(|| TOKEN.with(|_| yield_now()));
        }
    });
    assert_eq!(drops.count(), 62);
    corio::run(|| TOKEN.with(|_| yield_now()));
    assert_eq!(drops.count(), 63);
    std::thread::spawn(|| TOKEN.with(|_| yield_now()))
        .join()
        .unwrap();
    assert_eq!(drops.count(), 64);
}

/// Notes its name when dropped.
struct Named(&'static str, Arc<Mutex<Vec<String>>>);

impl Named {
    fn note(&self, what: &str) {
        self.1.lock().unwrap().push(format!("{} {what}", self.0));
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.note("dropped");
    }
}

#[test]
fn the_closure_is_dropped_first_then_locals_then_the_result() {
    let _watchdog = watchdog();
    goroutine_local! {
        static OLD: RefCell<Option<Named>> = RefCell::new(None);
        static NEW: RefCell<Option<Named>> = RefCell::new(None);
    }
    struct Result(Named);
    impl Drop for Result {
        fn drop(&mut self) {
            self.0.note(match NEW.try_with(|_| ()) {
                Ok(()) => "found locals",
                Err(AccessError { .. }) => "found none",
            });
        }
    }
    let notes = Arc::new(Mutex::new(Vec::new()));
    let named = |name| Named(name, Arc::clone(&notes));
    let (captured, old, new, result) = (
        named("captured"),
        named("old"),
        named("new"),
        named("result"),
    );
    let (go, wait) = mpsc::channel::<()>();
    let handle = corio::spawn(move || {
        corio::blocking(|| wait.recv()).unwrap();
        let _captured = captured;
        OLD.set(Some(old));
        NEW.set(Some(new));
        Result(result)
    });
    let goroutine = handle.goroutine().clone();
    drop(handle);
    go.send(()).unwrap();
    drop(go);
    corio_tests::wait_until("the result's end", || notes.lock().unwrap().len() == 5);
    drop(goroutine);
    assert_eq!(
        *notes.lock().unwrap(),
        [
            "captured dropped",
            "new dropped",
            "old dropped",
            "result found none",
            "result dropped"
        ]
    );
}

#[test]
fn a_result_finds_no_locals_even_if_none_were_used() {
    let _watchdog = watchdog();
    goroutine_local!(static LATE: Cell<u32> = const { Cell::new(0) });
    struct Result(mpsc::Sender<bool>);
    impl Drop for Result {
        fn drop(&mut self) {
            self.0.send(LATE.try_with(Cell::get).is_err()).unwrap();
        }
    }
    let (tx, rx) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let sender = tx.clone();
    drop(corio::spawn(move || {
        corio::blocking(|| wait.recv()).unwrap();
        Result(sender)
    }));
    go.send(()).unwrap();
    assert!(rx.recv().unwrap());
    corio::scope(|s| {
        s.spawn(|| Result(tx));
    });
    // Dropped by the goroutine or by the handle's owner, who may be a plain thread with locals.
    rx.recv().unwrap();
}

/// When dropped: uses the key it names, and notes whether that worked.
struct Reaches(
    &'static LocalKey<Cell<u32>>,
    Arc<Mutex<Vec<Result<u32, AccessError>>>>,
);

impl Drop for Reaches {
    fn drop(&mut self) {
        yield_now();
        let found = self.0.try_with(|cell| cell.replace(cell.get() + 1));
        self.1.lock().unwrap().push(found);
    }
}

goroutine_local! {
    static EARLY: Cell<u32> = const { Cell::new(10) };
    static UNUSED: Cell<u32> = const { Cell::new(20) };
    static ONE: RefCell<Option<Reaches>> = const { RefCell::new(None) };
    static TWO: RefCell<Option<Reaches>> = const { RefCell::new(None) };
}

#[test]
fn destructors_use_what_is_left_and_make_new_ones() {
    let _watchdog = watchdog();
    let body = |notes: &Arc<Mutex<Vec<_>>>| {
        let notes = Arc::clone(notes);
        move || {
            EARLY.get();
            ONE.set(Some(Reaches(&UNUSED, Arc::clone(&notes))));
            TWO.set(Some(Reaches(&EARLY, notes)));
        }
    };
    for goroutine in [true, false] {
        let notes = Arc::new(Mutex::new(Vec::new()));
        if goroutine {
            corio::spawn(body(&notes)).join().unwrap();
        } else {
            std::thread::spawn(body(&notes)).join().unwrap();
        }
        assert_eq!(*notes.lock().unwrap(), [Ok(10), Ok(20)]);
    }
}

#[test]
fn a_destructor_does_not_find_its_own_value() {
    let _watchdog = watchdog();
    static NOTES: Mutex<Vec<bool>> = Mutex::new(Vec::new());
    struct Own;
    impl Drop for Own {
        fn drop(&mut self) {
            NOTES.lock().unwrap().push(OWN.try_with(|_| ()).is_err());
            let message = catch_unwind(AssertUnwindSafe(|| OWN.with(|_| ()))).unwrap_err();
            assert!(
                message
                    .downcast::<String>()
                    .unwrap()
                    .contains("AccessError")
            );
        }
    }
    goroutine_local!(static OWN: Own = Own);
    on_both(|| OWN.with(|_| ()));
    assert_eq!(*NOTES.lock().unwrap(), [true, true]);
}

#[test]
fn a_destructor_that_panics_ends_nothing_else() {
    let _watchdog = watchdog();
    static COUNTED: std::sync::OnceLock<&'static Drops> = std::sync::OnceLock::new();
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    goroutine_local! {
        static TOKEN: Token = COUNTED.get().unwrap().token();
        static BOMB: Bomb = Bomb;
        static TOKEN_TOO: Token = COUNTED.get().unwrap().token();
    }
    let drops = COUNTED.get_or_init(Drops::new);
    let work = || {
        TOKEN.with(|_| ());
        BOMB.with(|_| ());
        TOKEN_TOO.with(|_| ());
        7
    };
    assert_eq!(corio::spawn(work).join().unwrap(), 7);
    assert_eq!(drops.count(), 2);
    assert_eq!(std::thread::spawn(work).join().unwrap(), 7);
    assert_eq!(drops.count(), 4);
    corio::scope(|s| assert_eq!(s.spawn(work).join().unwrap(), 7));
    assert_eq!(drops.count(), 6);
}

#[test]
fn under_abort_it_ends_the_process() {
    let this = std::env::current_exe().unwrap();
    // What comes after the program's name, which this file is, or is part of.
    let path = concat!(
        module_path!(),
        "::a_destructor_that_panics_ends_nothing_else"
    );
    let (_, test) = path.split_once("::").unwrap();
    Child::new(this.to_str().unwrap(), test)
        .arg("--exact")
        .env("CORIO_PANIC", "abort")
        .dies_by(libc::SIGABRT)
        .says("a goroutine-local's destructor panicked at the end of goroutine");
}

#[test]
fn a_timers_goroutine_has_its_own_and_drops_them() {
    let _watchdog = watchdog();
    static COUNTED: std::sync::OnceLock<&'static Drops> = std::sync::OnceLock::new();
    goroutine_local!(static TOKEN: Token = COUNTED.get().unwrap().token());
    let drops = COUNTED.get_or_init(Drops::new);
    let (tx, rx) = mpsc::channel();
    for micros in [0, 100, 1_000] {
        let tx = tx.clone();
        let timer = corio::time::after_func(Duration::from_micros(micros), move || {
            TOKEN.with(|_| yield_now());
            tx.send(()).unwrap();
        });
        rx.recv().unwrap();
        drop(timer);
    }
    corio_tests::wait_until("the values' end", || drops.count() == 3);
}

#[test]
fn a_stack_used_again_starts_without() {
    let _watchdog = watchdog();
    goroutine_local!(static SEEN: Cell<bool> = const { Cell::new(false) });
    for _ in 0..1_000 {
        corio::spawn(|| assert!(!SEEN.replace(true)))
            .join()
            .unwrap();
    }
}

#[test]
fn many_keys_made_in_any_order() {
    let _watchdog = watchdog();
    macro_rules! keys {
        ($($name:ident = $value:literal),*) => {
            goroutine_local! { $(static $name: Cell<u32> = const { Cell::new($value) };)* }
            const KEYS: &[(&LocalKey<Cell<u32>>, u32)] = &[$((&$name, $value)),*];
        };
    }
    keys!(
        A = 1,
        B = 2,
        C = 3,
        D = 4,
        E = 5,
        F = 6,
        G = 7,
        H = 8,
        I = 9,
        J = 10
    );
    let handles: Vec<_> = (0..KEYS.len())
        .map(|from| {
            corio::spawn(move || {
                for (key, value) in KEYS.iter().cycle().skip(from).take(KEYS.len()) {
                    assert_eq!(key.replace(*value + 100), *value);
                    yield_now();
                }
                assert!(KEYS.iter().all(|(key, value)| key.get() == value + 100));
            })
        })
        .collect();
    handles
        .into_iter()
        .for_each(|handle| handle.join().unwrap());
}

#[test]
fn keys_and_errors_have_the_usual_traits() {
    fn sync<T: Send + Sync + 'static>(_: &T) {}
    sync(&COUNT);
    sync(&WORDS);
    let error: Box<dyn std::error::Error> = Box::new(
        corio::spawn(|| {
            struct Late(mpsc::Sender<AccessError>);
            impl Drop for Late {
                fn drop(&mut self) {
                    self.0.send(LATE.try_with(|_| ()).unwrap_err()).unwrap();
                }
            }
            goroutine_local!(static LATE: RefCell<Option<Late>> = const { RefCell::new(None) });
            let (tx, rx) = mpsc::channel();
            LATE.set(Some(Late(tx)));
            rx
        })
        .join()
        .unwrap()
        .recv()
        .unwrap(),
    );
    assert_eq!(error.to_string(), "already destroyed");
}
