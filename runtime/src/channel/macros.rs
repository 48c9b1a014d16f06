//! `select!` and `select_biased!`: the syntax over the channel core.
//!
//! An arm is `recv(receiver) -> pattern => body`, `send(sender, message) -> pattern => body`,
//! `default => body` or `default(timeout) => body`: crossbeam-channel's grammar, all of it.
//!
//! # How an expansion comes about
//!
//! | rules | hold | do |
//! | --- | --- | --- |
//! | `@arms` | labels left, arms so far, the default, the tokens to come | read one arm per step |
//! | `@error`, `@result`, `@body` | the first tokens that are no arm | find out what is wrong with them |
//! | `@select` | all arms, the default | write the code, all arms at once |
//! | `@dispatch` | the selected operation, all arms | write the `match` over the arm's index |
//!
//! A label is an arm's index and the name of the variable with its handle. There are as many labels
//! as there may be arms. `@arms` puts each arm into one form, on which `@select` can repeat:
//!
//! ```text
//! (index name Receiver recv [receiver] (name) [pattern] [body])
//! (index name Sender send [sender] (name, message) [pattern] [body])
//! ```
//!
//! The identifiers in it are ready to use: `&Receiver<_>` is the handle's type, `Arm::recv(name)` makes
//! the arm, `selected.recv(name)` completes it; likewise for `send`, where the message is thus
//! evaluated when the operation is completed, not sooner.
//!
//! # What the generated code holds to
//!
//! * Handles are borrowed in the scrutinee of a `match`, so temporaries among them live as long as the
//!   bodies run. The borrows end when the operation is completed: bodies may move or assign what the
//!   handles were borrowed from.
//! * A handle is dereferenced once: completing compares addresses.
//! * No body and no message is put into a closure or a loop, so `break`, `continue`, `return` and `?`
//!   mean what they mean around the macro.
//! * A body stands alone in an arm of a `match`, where the compiler minds no braces around it.
//! * A message is dropped when the body is done, also one that the pattern `_` ignores.
//! * Nothing is allocated, and no `unsafe` appears in the caller's crate.
//!
//! The depth of the recursion counts against the user's `recursion_limit`, and nested selects add up.
//! Therefore an arm costs one step, and everything after the parsing is a repetition. (One repetition
//! could read all arms, but not the commas they need, and labels would still be dealt out one by one.) A
//! procedural macro was rejected for the same reason as in `go!`: a crate and a parser to build for every
//! user.
//!
//! One receiver alone is not selected over: the receiver's own method does it, with the same result. A
//! sender alone is, because `send` takes a message before it waits.
//!
//! Next in the reading order: `timed`: channels that the clock sends to.

/// Waits until one of several channel operations can go on, and runs that one: Go's `select`.
///
/// ```
/// use corio::channel::unbounded;
/// use corio::{go, select};
///
/// let (numbers_tx, numbers) = unbounded();
/// let (words_tx, words) = unbounded::<&str>();
/// go!(move || numbers_tx.send(7));
///
/// select! {
///     recv(numbers) -> n => assert_eq!(n, Ok(7)),
///     recv(words) -> word => println!("a word: {word:?}"),
/// }
/// # drop(words_tx);
/// ```
///
/// # Arms
///
/// | arm | is ready when | then |
/// | --- | --- | --- |
/// | `recv(r) -> pattern => body` | a message is there, or all senders are gone | `pattern` is bound to a `Result<T, RecvError>` |
/// | `send(s, message) -> pattern => body` | there is room or a receiver waits, or all receivers are gone | `message` is evaluated and sent, `pattern` is bound to a `Result<(), SendError<T>>` |
/// | `default => body` | no other arm is ready at once | |
/// | `default(timeout) => body` | no other arm became ready within `timeout`, a [`Duration`](std::time::Duration) | |
///
/// There may be up to 32 operations and one `default`, in any order. An arm is followed by a comma,
/// unless it is the last or its body is a block. `select!` is an expression; its value is that of the
/// body that ran.
///
/// `r` and `s` are any expressions for a [`Receiver`](crate::channel::Receiver) and a
/// [`Sender`](crate::channel::Sender): variables, references, calls such as `after(timeout)`, anything
/// that dereferences to one. `pattern` must match every result: write `_` to ignore it, and a `match`
/// in the body to tell cases apart.
///
/// # Which arm runs
///
/// Exactly one. If several are ready, one of them is chosen at random, each with the same
/// probability, so that none starves. [`select_biased!`](crate::select_biased) takes the first.
///
/// A disconnected channel is always ready: its arm runs with an error. In a loop, replace the receiver
/// by [`never()`](crate::channel::never) once it reported an error, or the loop will spin.
///
/// # What is evaluated when
///
/// 1. All receivers and senders, once, from top to bottom; then the timeout.
/// 2. When a `send` arm was chosen, its message; the others' messages are not evaluated at all.
/// 3. The body. It may use `break`, `continue`, `return` and `?`, which act on what surrounds the
///    `select!`.
///
/// Temporaries in the expressions for receivers and senders live until the body is done; what was only
/// borrowed is free again when the body starts.
///
/// # Examples
///
/// Sending and receiving in one `select!`, in a loop:
///
/// ```
/// use corio::channel::{Receiver, Sender, bounded};
/// use corio::{go, select};
///
/// fn fibonacci(numbers: Sender<u64>, quit: Receiver<()>) {
///     let (mut a, mut b) = (0, 1);
///     loop {
///         select! {
///             send(numbers, a) -> _ => (a, b) = (b, a + b),
///             recv(quit) -> _ => break,
///         }
///     }
/// }
///
/// let (tx, rx) = bounded(0);
/// let (quit_tx, quit_rx) = bounded::<()>(0);
/// let worker = go!(fibonacci(tx, quit_rx));
/// let first: Vec<u64> = rx.iter().take(8).collect();
/// assert_eq!(first, [0, 1, 1, 2, 3, 5, 8, 13]);
/// drop(quit_tx);
/// worker.join().unwrap();
/// ```
///
/// Without waiting:
///
/// ```
/// use corio::channel::unbounded;
/// use corio::select;
///
/// let (_tx1, rx1) = unbounded::<i32>();
/// let (_tx2, rx2) = unbounded::<i32>();
/// let found = select! {
///     recv(rx1) -> message => message.ok(),
///     recv(rx2) -> message => message.ok(),
///     default => None,
/// };
/// assert_eq!(found, None);
/// ```
///
/// For a limited time:
///
/// ```
/// use corio::channel::bounded;
/// use corio::select;
/// use std::time::Duration;
///
/// let (tx, _rx) = bounded(0);
/// let (_stop_tx, stop) = bounded::<()>(0);
/// let sent = select! {
///     send(tx, "anybody there?") -> result => result.is_ok(),
///     recv(stop) -> _ => false,
///     default(Duration::from_millis(10)) => false,
/// };
/// assert!(!sent);
/// ```
///
/// With an arm that is not always there:
///
/// ```
/// use corio::channel::{Receiver, never, unbounded};
/// use corio::select;
///
/// fn next(work: &Receiver<i32>, urgent: Option<&Receiver<i32>>) -> Option<i32> {
///     select! {
///         recv(urgent.unwrap_or(&never())) -> n => n.ok(),
///         recv(work) -> n => n.ok(),
///     }
/// }
///
/// let (tx, work) = unbounded();
/// tx.send(1).unwrap();
/// assert_eq!(next(&work, None), Some(1));
/// ```
///
/// Until all senders are gone, merging two channels:
///
/// ```
/// use corio::channel::{never, unbounded};
/// use corio::{go, select};
///
/// let (tx1, mut rx1) = unbounded();
/// let (tx2, mut rx2) = unbounded();
/// go!(move || (1..=3).for_each(|n| tx1.send(n).unwrap()));
/// go!(move || (4..=6).for_each(|n| tx2.send(n).unwrap()));
///
/// let (mut sum, mut open) = (0, 2);
/// while open > 0 {
///     select! {
///         recv(rx1) -> n => match n {
///             Ok(n) => sum += n,
///             Err(_) => (rx1, open) = (never(), open - 1),
///         },
///         recv(rx2) -> n => match n {
///             Ok(n) => sum += n,
///             Err(_) => (rx2, open) = (never(), open - 1),
///         },
///     }
/// }
/// assert_eq!(sum, 21);
/// ```
///
/// # Panics
///
/// If the expression for a message is left by `break`, `continue`, `return` or `?`: the other side counts
/// on the message by then. Do what may fail before the `select!`. If the expression panics, that panic
/// goes on, and what was reserved for the message is given back.
///
/// # Blocking
///
/// Without a `default` it waits until an arm is ready, forever if none ever is; with `default(timeout)`
/// at most that long; with `default` not at all. A goroutine is parked, a plain thread is blocked. In all
/// forms it is a switch point, also with `default`: another goroutine may be about to choose an arm for it.
///
/// # Counterpart
///
/// crossbeam-channel's macro of this name, with the same grammar and meaning. Against Go's statement:
///
/// | Go | here |
/// | --- | --- |
/// | `case v, ok := <-r:` | `recv(r) -> v => ..`, where `v` is a `Result` |
/// | `case s <- v:` | `send(s, v) -> _ => ..` |
/// | evaluates `v` on entry, whether it is sent or not | evaluates `v` when it is going to be sent |
/// | sending on a closed channel panics | the arm gets the message back in an error |
/// | a `nil` channel is never ready | a receiver from `never()` isn't |
/// | `case <-time.After(d):` | `default(d) => ..`, which makes no channel |
/// | `break` leaves the `select` | `break` leaves the loop around it |
/// | `select {}` waits forever | does not compile; receive from `never()` |
///
/// For a set of operations that is only known at run time there is
/// [`Select`](crate::channel::Select).
#[macro_export]
macro_rules! select {
    ($($arms:tt)*) => {{
        const _IS_BIASED: bool = false;
        $crate::crossbeam_channel_internal!($($arms)*)
    }};
}

/// Like [`select!`](crate::select), but of several ready operations it runs the one written first.
///
/// Use it where one channel matters more than another. An arm further down starves as long as those
/// above it are ready.
///
/// ```
/// use corio::channel::unbounded;
/// use corio::select_biased;
///
/// let (stop_tx, stop) = unbounded();
/// let (work_tx, work) = unbounded();
/// work_tx.send("build").unwrap();
/// stop_tx.send(()).unwrap();
///
/// let done = loop {
///     select_biased! {
///         recv(stop) -> _ => break 0, // always first
///         recv(work) -> _ => break 1,
///     }
/// };
/// assert_eq!(done, 0);
/// ```
///
/// Arms, order of evaluation and blocking are those of [`select!`](crate::select). Mirrors
/// crossbeam-channel's macro of this name; Go has no counterpart.
#[macro_export]
macro_rules! select_biased {
    ($($arms:tt)*) => {{
        const _IS_BIASED: bool = true;
        $crate::crossbeam_channel_internal!($($arms)*)
    }};
}

/// What both macros have in common; they differ in `_IS_BIASED`. The name is part of what
/// crossbeam-channel's users (its test suite, for one) rely on.
#[doc(hidden)]
#[macro_export]
macro_rules! crossbeam_channel_internal {
    () => {
        ::core::compile_error!(
            "`select!` without arms would wait forever: to do so, receive from `never()`"
        )
    };
    ($($arms:tt)+) => {
        $crate::__select!(
            @arms
            [
                (0usize arm0) (1usize arm1) (2usize arm2) (3usize arm3)
                (4usize arm4) (5usize arm5) (6usize arm6) (7usize arm7)
                (8usize arm8) (9usize arm9) (10usize arm10) (11usize arm11)
                (12usize arm12) (13usize arm13) (14usize arm14) (15usize arm15)
                (16usize arm16) (17usize arm17) (18usize arm18) (19usize arm19)
                (20usize arm20) (21usize arm21) (22usize arm22) (23usize arm23)
                (24usize arm24) (25usize arm25) (26usize arm26) (27usize arm27)
                (28usize arm28) (29usize arm29) (30usize arm30) (31usize arm31)
            ]
            []
            []
            $($arms)+
        )
    };
}

/// The rules behind [`select!`]; see the module's head.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // Reading an arm: one that ends with a comma or with the macro, or else one whose body is a block.
    (
        @arms [($i:tt $h:ident) $($labels:tt)*] [$($arms:tt)*] $default:tt
        recv($r:expr $(,)?) -> $pat:pat => $body:expr $(, $($rest:tt)*)?
    ) => {
        $crate::__select!(
            @arms [$($labels)*]
            [$($arms)* ($i $h Receiver recv [$r] ($h) [$pat] [$body])]
            $default $($($rest)*)?
        )
    };
    (
        @arms [($i:tt $h:ident) $($labels:tt)*] [$($arms:tt)*] $default:tt
        recv($r:expr $(,)?) -> $pat:pat => { $($body:tt)* } $($rest:tt)*
    ) => {
        $crate::__select!(
            @arms [$($labels)*]
            [$($arms)* ($i $h Receiver recv [$r] ($h) [$pat] [{ $($body)* }])]
            $default $($rest)*
        )
    };
    (
        @arms [($i:tt $h:ident) $($labels:tt)*] [$($arms:tt)*] $default:tt
        send($s:expr, $m:expr $(,)?) -> $pat:pat => $body:expr $(, $($rest:tt)*)?
    ) => {
        $crate::__select!(
            @arms [$($labels)*]
            [$($arms)* ($i $h Sender send [$s] ($h, $m) [$pat] [$body])]
            $default $($($rest)*)?
        )
    };
    (
        @arms [($i:tt $h:ident) $($labels:tt)*] [$($arms:tt)*] $default:tt
        send($s:expr, $m:expr $(,)?) -> $pat:pat => { $($body:tt)* } $($rest:tt)*
    ) => {
        $crate::__select!(
            @arms [$($labels)*]
            [$($arms)* ($i $h Sender send [$s] ($h, $m) [$pat] [{ $($body)* }])]
            $default $($rest)*
        )
    };
    (
        @arms $labels:tt $arms:tt []
        default $(($($timeout:expr $(,)?)?))? => $body:expr $(, $($rest:tt)*)?
    ) => {
        $crate::__select!(@arms $labels $arms [($($($timeout)?)?) [$body]] $($($rest)*)?)
    };
    (
        @arms $labels:tt $arms:tt []
        default $(($($timeout:expr $(,)?)?))? => { $($body:tt)* } $($rest:tt)*
    ) => {
        $crate::__select!(@arms $labels $arms [($($($timeout)?)?) [{ $($body)* }]] $($rest)*)
    };
    (@arms $labels:tt $arms:tt $default:tt) => {
        $crate::__select!(@select $arms $default)
    };
    (@arms [] $arms:tt $default:tt recv $($rest:tt)*) => {
        ::core::compile_error!("`select!` takes at most 32 operations; `Select` takes any number")
    };
    (@arms [] $arms:tt $default:tt send $($rest:tt)*) => {
        ::core::compile_error!("`select!` takes at most 32 operations; `Select` takes any number")
    };
    (@arms $labels:tt $arms:tt $default:tt $($rest:tt)+) => {
        $crate::__select!(@error $default $($rest)+)
    };

    // What is wrong: with the arm's kind or arguments ..
    (@error $default:tt recv($r:expr $(,)?) $($rest:tt)*) => {
        $crate::__select!(@result recv $($rest)*)
    };
    (@error $default:tt recv $($rest:tt)*) => {
        ::core::compile_error!("`recv` takes one receiver: write `recv(receiver) -> pattern => ..`")
    };
    (@error $default:tt send($s:expr, $m:expr $(,)?) $($rest:tt)*) => {
        $crate::__select!(@result send $($rest)*)
    };
    (@error $default:tt send $($rest:tt)*) => {
        ::core::compile_error!(
            "`send` takes a sender and a message: write `send(sender, message) -> pattern => ..`"
        )
    };
    (@error [$($default:tt)+] default $($rest:tt)*) => {
        ::core::compile_error!("there can be only one `default` in a `select!`")
    };
    (@error [] default -> $($rest:tt)*) => {
        ::core::compile_error!("`default` has no result: write `default => ..`")
    };
    (@error [] default ($($args:tt)*) -> $($rest:tt)*) => {
        ::core::compile_error!("`default` has no result: write `default(timeout) => ..`")
    };
    (@error [] default $(($($timeout:expr $(,)?)?))? => $($rest:tt)*) => {
        $crate::__select!(@body $($rest)*)
    };
    (@error [] default $($rest:tt)*) => {
        ::core::compile_error!(
            "`default` takes at most a timeout: write `default => ..` or `default(timeout) => ..`"
        )
    };
    (@error $default:tt ; $($rest:tt)*) => {
        ::core::compile_error!("arms are separated by `,`, not by `;`")
    };
    (@error $default:tt $other:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `recv(..)`, `send(..)` or `default`, found `",
            ::core::stringify!($other),
            "`",
        ))
    };

    // .. with the result's pattern ..
    (@result $op:ident => $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "the result of `",
            ::core::stringify!($op),
            "` needs a pattern: write `",
            ::core::stringify!($op),
            "(..) -> pattern => ..`, with `_` to ignore it",
        ))
    };
    (@result $op:ident -> $pat:pat => $($rest:tt)*) => {
        $crate::__select!(@body $($rest)*)
    };
    (@result $op:ident -> $pat:pat if $($rest:tt)*) => {
        ::core::compile_error!(
            "an arm has no condition: pass `never()` for a receiver that is not to be selected"
        )
    };
    (@result $op:ident -> $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `pattern => expression` after `",
            ::core::stringify!($op),
            "(..) ->`",
        ))
    };
    (@result $op:ident $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `-> pattern => expression` after `",
            ::core::stringify!($op),
            "(..)`",
        ))
    };

    // .. or with what follows `=>`.
    (@body) => {
        ::core::compile_error!("expected an expression after `=>`")
    };
    (@body , $($rest:tt)*) => {
        ::core::compile_error!("expected an expression after `=>`, found `,`")
    };
    (@body $body:expr; $($rest:tt)*) => {
        ::core::compile_error!("arms are separated by `,`, not by `;`")
    };
    (@body $($rest:tt)+) => {
        ::core::compile_error!("an arm whose body is not a block `{ .. }` ends with a `,`")
    };

    // One receiver alone.
    (
        @select [($i:tt $h:ident $end:ident recv [$r:expr] $args:tt [$pat:pat] [$body:expr])] []
    ) => {
        match &$r {
            $h => {
                let $h: &$crate::channel::Receiver<_> = $h;
                let result = $h.recv();
                let $pat = result;
                match () {
                    () => $body,
                }
            }
        }
    };
    (
        @select [($i:tt $h:ident $end:ident recv [$r:expr] $args:tt [$pat:pat] [$body:expr])]
        [() [$default:expr]]
    ) => {
        match &$r {
            $h => {
                let $h: &$crate::channel::Receiver<_> = $h;
                let result = $h.try_recv();
                match result {
                    ::core::result::Result::Err($crate::channel::TryRecvError::Empty) => $default,
                    result => {
                        let result = result.map_err(|_| $crate::channel::RecvError);
                        let $pat = result;
                        match () {
                            () => $body,
                        }
                    }
                }
            }
        }
    };
    (
        @select [($i:tt $h:ident $end:ident recv [$r:expr] $args:tt [$pat:pat] [$body:expr])]
        [($timeout:expr) [$default:expr]]
    ) => {
        match &$r {
            $h => {
                let $h: &$crate::channel::Receiver<_> = $h;
                let result = $h.recv_timeout($timeout);
                match result {
                    ::core::result::Result::Err($crate::channel::RecvTimeoutError::Timeout) => $default,
                    result => {
                        let result = result.map_err(|_| $crate::channel::RecvError);
                        let $pat = result;
                        match () {
                            () => $body,
                        }
                    }
                }
            }
        }
    };

    // Any arms: without a default, with one, and with one that waits.
    (
        @select
        [$(($i:tt $h:ident $end:ident $op:ident [$handle:expr] $args:tt $pat:tt $body:tt))*]
        []
    ) => {
        match ($(&$handle,)*) {
            ($($h,)*) => {
                $(let $h: &$crate::channel::$end<_> = $h;)*
                let selected = $crate::channel::internal::select(
                    [$($crate::channel::internal::Arm::$op($h)),*],
                    _IS_BIASED,
                );
                $crate::__select!(@dispatch selected $(($i $op $args $pat $body))*)
            }
        }
    };
    (
        @select
        [$(($i:tt $h:ident $end:ident $op:ident [$handle:expr] $args:tt $pat:tt $body:tt))*]
        [($($timeout:expr)?) [$default:expr]]
    ) => {
        match ($(&$handle,)*) {
            ($($h,)*) => {
                $(let $h: &$crate::channel::$end<_> = $h;)*
                let arms = [$($crate::channel::internal::Arm::$op($h)),*];
                let outcome = $crate::__select!(@attempt arms ($($timeout)?));
                // Moved on both ways, not matched on: what remains of it would borrow the handles.
                match outcome.is_ok() {
                    true => {
                        let selected = outcome.unwrap();
                        $crate::__select!(@dispatch selected $(($i $op $args $pat $body))*)
                    }
                    false => match ::core::mem::drop(outcome) {
                        () => $default,
                    },
                }
            }
        }
    };
    (@attempt $arms:ident ()) => {
        $crate::channel::internal::try_select($arms, _IS_BIASED)
    };
    (@attempt $arms:ident ($timeout:expr)) => {
        $crate::channel::internal::select_timeout($arms, $timeout, _IS_BIASED)
    };

    (
        @dispatch $selected:ident
        $(($i:tt $op:ident ($h:ident $(, $m:expr)?) [$pat:pat] [$body:expr]))*
    ) => {
        match $selected.index() {
            $($i => {
                let result = $selected.$op($h $(, $m)?);
                let $pat = result;
                match () {
                    () => $body,
                }
            })*
            _ => ::core::unreachable!("`select!` selected an arm that it does not have"),
        }
    };
}

pub use {crossbeam_channel_internal, select, select_biased};
