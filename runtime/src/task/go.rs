//! The `go!` macro: Go's `go` statement.
//!
//! Go evaluates the function value and the arguments in the calling goroutine and only the call
//! itself in the new one. A closure can't say that (its whole body runs in the goroutine), so the
//! macro takes the call apart: it binds the function or the receiver and then each argument to a
//! variable, in order, and moves them into a closure that makes the call.
//!
//! # How the call is found
//!
//! A matcher of the form `$f:expr` would swallow the call, so the expression is walked token by token
//! (a group in brackets is one token):
//!
//! | rule | holds | does |
//! | --- | --- | --- |
//! | `@start`, `@first` | the whole expression | lets closures through; begins the walk |
//! | `@split` | what precedes the last `.` so far, what follows it, what is still to come | walks; stops where a call in parentheses ends the expression |
//! | `@call` | the function, or the receiver and the method; the arguments | evaluates the former |
//! | `@bind` | the same, by variable; the arguments bound so far, those to come | evaluates one argument, then spawns |
//!
//! What precedes the last `.` outside brackets is the receiver if nothing but a name, or a name with
//! type arguments, stands between that `.` and the call. Type arguments may hold any tokens, but no
//! `.`, so they need not be understood.
//!
//! Each expansion of `@bind` makes a new variable: the names are the same, macro hygiene keeps them
//! apart. A procedural macro would see the syntax tree instead of tokens; it was rejected because it
//! costs every user a crate and a parser to build, for a handful of rules.

/// Starts a goroutine: Go's `go` statement. Returns its [`JoinHandle`](crate::JoinHandle); dropping
/// that detaches the goroutine.
///
/// ```
/// use corio::go;
///
/// fn greet(name: String, times: usize) -> String {
///     name.repeat(times)
/// }
///
/// let name = String::from("ho");
/// let handle = go!(greet(name.clone(), 1 + 2)); // evaluated now: name.clone() and 1 + 2
/// assert_eq!(handle.join().unwrap(), "hohoho");
/// println!("{name} is still ours");
/// ```
///
/// # What is evaluated when
///
/// If the expression is a call, only the call itself happens in the goroutine. Everything in it is
/// evaluated *now*, in the caller, exactly once and from left to right: first the function or the
/// receiver, then each argument. Their values are moved into the goroutine, so they must be `Send`
/// and `'static`.
///
/// | form | in the caller, now | in the goroutine |
/// | --- | --- | --- |
/// | `go!(f(a, b))`, `go!(module::f::<T>(a))` | `f`, `a`, `b` | the call of `f` |
/// | `go!(recv.method(a))`, `go!(recv.method::<T>(a))` | `recv`, `a` | the call of `method` |
/// | `go!(x.open()?.serve(a))` | `x.open()?`, `a` | the call of `serve` |
/// | `go!(handler(x)(a))`, `go!((s.callback)(a))` | `handler(x)`, `a` | the call of its result |
/// | `go!(move \|\| { .. })`, `go!(\|\| ..)` | | the closure |
/// | `go!(worker)`, `go!(handlers[i])`, `go!({ .. })` | the expression | its value, called without arguments |
///
/// *The call* is the last one, the one whose parentheses end the expression. Whatever does not end in
/// such a call must evaluate to a function or closure without arguments. That includes a block, which
/// is the place for what the closure takes along, and an expression in parentheses, as in
/// `go!((make_worker(1)))`.
///
/// ```
/// # use corio::go;
/// # use std::sync::Arc;
/// # let shared = Arc::new(7);
/// let handle = go!({
///     let shared = Arc::clone(&shared);
///     move || *shared + 1
/// });
/// assert_eq!(handle.join().unwrap(), 8);
/// ```
///
/// A receiver is moved into the goroutine, too; clone an `Arc` to keep it: `go!(server.clone().run())`.
/// Methods that take `&mut self` work on the goroutine's own value.
///
/// Two things work differently than in a plain call, because each argument is bound to a variable
/// first: an argument that is a closure must name its parameters' types if they can't be told from
/// its body, and `&` of a temporary is a borrow that ends now, not a `'static` one (constants
/// excepted). Write `go!(move || f(..))` then.
///
/// # Panics
///
/// If the goroutine can't be started: there are as many as
/// [`Config::max_goroutines`](crate::Config::max_goroutines) allows, or no memory for one more.
/// [`Builder::spawn`](crate::Builder::spawn) returns an error instead. What the arguments' evaluation
/// panics with goes to the caller; a panic of the call ends the goroutine and goes to whoever joins it.
///
/// # Blocking
///
/// Never blocks and never switches: the caller goes on, the goroutine runs later or on another
/// thread. May be used from goroutines and plain threads.
///
/// # Counterpart
///
/// Go's `go` statement, with a handle; the closure forms are [`std::thread::spawn`]. A macro
/// (`go!(println!(..))`) is not a call: when its arguments are evaluated is its own business.
///
/// # What must be `Send`
///
/// ```compile_fail,E0277
/// use std::rc::Rc;
/// let local = Rc::new(1);
/// corio::go!(drop(local)); // `Rc<i32>` cannot be sent between threads safely
/// ```
#[macro_export]
macro_rules! go {
    ($($call:tt)+) => {
        $crate::__go!(@start $($call)+)
    };
    () => {
        ::std::compile_error!("go! takes a call, go!(f(x)), or a closure, go!(move || { .. })")
    };
}

/// The rules behind [`go!`]; see the module's head.
#[doc(hidden)]
#[macro_export]
macro_rules! __go {
    // A closure, whatever its body ends in. It is passed on as it was written, so that errors and
    // suggestions point there.
    (@start $($all:tt)+) => {
        $crate::__go!(@first ($($all)+) $($all)+)
    };
    (@first ($($all:tt)+) move $($rest:tt)*) => {
        $crate::__go!(@value $($all)+)
    };
    (@first ($($all:tt)+) || $($rest:tt)*) => {
        $crate::__go!(@value $($all)+)
    };
    (@first ($($all:tt)+) | $($rest:tt)*) => {
        $crate::__go!(@value $($all)+)
    };
    (@first $all:tt async $($rest:tt)*) => {
        ::std::compile_error!(
            "go! takes a call or a closure, not a future: \
             write go!(move || corio::block_on(async move { .. }))"
        )
    };
    (@first $all:tt $($rest:tt)+) => {
        $crate::__go!(@split $all [] [] $($rest)+)
    };

    // The walk. First the ends at which the expression turns out to be a call:
    // a name ..
    (@split $all:tt [$($recv:tt)+] [] $method:ident ($($args:tt)*) $(,)?) => {
        $crate::__go!(@call (method [$($recv)+] [$method]) ($($args)*))
    };
    (@split $all:tt [] [$($tail:tt)*] $name:ident ($($args:tt)*) $(,)?) => {
        $crate::__go!(@call (function [$($tail)* $name]) ($($args)*))
    };
    // .. type arguments ..
    (@split $all:tt [$($recv:tt)+] [$m:ident :: $($g:tt)*] > ($($args:tt)*) $(,)?) => {
        $crate::__go!(@call (method [$($recv)+] [$m :: $($g)* >]) ($($args)*))
    };
    (@split $all:tt [$($recv:tt)+] [$m:ident :: $($g:tt)*] >> ($($args:tt)*) $(,)?) => {
        $crate::__go!(@call (method [$($recv)+] [$m :: $($g)* >>]) ($($args)*))
    };
    // .. a macro's `!` ..
    (@split $all:tt [$($recv:tt)*] [$($tail:tt)*] ! ($($args:tt)*) $(,)?) => {
        ::std::compile_error!(
            "a macro is not a call: write go!(move || name!(..)) to run it in the goroutine"
        )
    };
    // .. and any other expression whose value is called.
    (@split $all:tt [] [$($tail:tt)*] $end:tt ($($args:tt)*) $(,)?) => {
        $crate::__go!(@call (function [$($tail)* $end]) ($($args)*))
    };
    (@split $all:tt [$($recv:tt)+] [$($tail:tt)*] $end:tt ($($args:tt)*) $(,)?) => {
        $crate::__go!(@call (function [$($recv)+ . $($tail)* $end]) ($($args)*))
    };
    // Then the steps.
    (@split $all:tt [] [$($tail:tt)*] . $($rest:tt)+) => {
        $crate::__go!(@split $all [$($tail)*] [] $($rest)+)
    };
    (@split $all:tt [$($recv:tt)+] [$($tail:tt)*] . $($rest:tt)+) => {
        $crate::__go!(@split $all [$($recv)+ . $($tail)*] [] $($rest)+)
    };
    (@split $all:tt $recv:tt [$($tail:tt)*] $next:tt $($rest:tt)*) => {
        $crate::__go!(@split $all $recv [$($tail)* $next] $($rest)*)
    };
    // No call at the end.
    (@split ($($all:tt)+) $recv:tt $tail:tt) => {
        $crate::__go!(@value $($all)+)
    };

    // Not a call: a function or closure without arguments.
    (@value $closure:expr $(,)?) => {
        $crate::spawn($closure)
    };

    // A call: its function or receiver comes first.
    (@call (function [$f:expr]) ($($args:tt)*)) => {{
        #[allow(unused_mut, unused_parens)]
        let mut callee = $f;
        $crate::__go!(@bind (function callee) [] $($args)*)
    }};
    (@call (method [$recv:expr] $method:tt) ($($args:tt)*)) => {{
        #[allow(unused_mut, unused_parens)]
        let mut callee = $recv;
        $crate::__go!(@bind (method callee $method) [] $($args)*)
    }};

    // The arguments, one by one; then the goroutine.
    (@bind (function $f:ident) [$($arg:ident)*]) => {
        $crate::spawn(move || $f($($arg),*))
    };
    (@bind (method $recv:ident [$($method:tt)+]) [$($arg:ident)*]) => {
        $crate::spawn(move || $recv.$($method)+($($arg),*))
    };
    (@bind $callee:tt [$($bound:ident)*] $head:expr $(, $($rest:tt)*)?) => {{
        #[allow(clippy::let_unit_value)]
        let arg = $head;
        $crate::__go!(@bind $callee [$($bound)* arg] $($($rest)*)?)
    }};

    // Whatever else.
    ($($other:tt)*) => {
        ::std::compile_error!(
            "go! takes one call, go!(f(x)), or one closure, go!(move || { .. }); \
             put several statements into a closure"
        )
    };
}
