//! Telling stack overflows from other bad accesses.
//!
//! | the address lies | what happens |
//! | --- | --- |
//! | in the guard of the goroutine that runs on the thread | its id, name, stack size and the remedy are printed; abort |
//! | in the guard of another stack | that is said; then the previous handler |
//! | anywhere else, or nowhere (a signal sent by `kill`) | the previous handler |
//!
//! So std's message for overflows of its own threads' stacks stays, and so does any other handler
//! that was installed before.
//!
//! The handler runs on the thread's alternate stack, because there is no room left on the one that
//! overflowed: a thread that runs goroutines holds an [`AltStack`]. Everything reached from
//! [`classify`] is async-signal-safe: it takes no lock and allocates nothing; it reads the table of
//! slabs, formats into a buffer on the stack, and calls `write(2)`, `sigaction(2)` and `abort`.
//!
//! Rejected: turning an overflow into a panic (the frame that overflowed may hold any invariant half
//! done, and foreign frames can't be unwound).

use super::GuardKind;
use super::slab::{self, Located};
use super::sys::{self, SignalStack};
use std::fmt::{self, Write};
use std::marker::PhantomData;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Description of a goroutine for the message about its overflow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Culprit {
    /// Its id.
    pub(crate) id: u64,
    /// Its name in UTF-8, in the first `name_len` bytes; cut off anywhere.
    pub(crate) name: [u8; 64],
    /// 0 if it has no name.
    pub(crate) name_len: usize,
    /// The size of its stack in bytes.
    pub(crate) stack_size: usize,
}

impl Culprit {
    /// The name up to the last whole character.
    fn name(&self) -> &str {
        let bytes = self.name.get(..self.name_len).unwrap_or(&self.name);
        match std::str::from_utf8(bytes) {
            Ok(name) => name,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
        }
    }
}

/// The `fn(usize) -> Option<Culprit>` given to [`install`].
static DESCRIBE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Installs the handler for SIGSEGV and SIGBUS, once; later calls change nothing.
///
/// `describe(top)` is called in the handler when the address is in the guard of the stack that ends
/// at `top`; it returns the goroutine if that goroutine runs on the calling thread. It must be
/// async-signal-safe.
pub(crate) fn install(describe: fn(top: usize) -> Option<Culprit>) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Release: pairs with the load in `classify`.
        DESCRIBE.store(describe as *mut (), Ordering::Release);
        sys::on_fault(classify);
    });
}

/// Aborts with a message if `address` means that the goroutine running on this thread has overflowed
/// its stack. Called in the signal handler.
fn classify(address: usize) {
    let Some(Located {
        top,
        in_guard: true,
    }) = slab::locate(address)
    else {
        return;
    };
    // Acquire: pairs with the store in `install`.
    let describe = DESCRIBE.load(Ordering::Acquire);
    // SAFETY: `install` stored such a function there before it installed the handler.
    let describe = unsafe { mem::transmute::<*mut (), fn(usize) -> Option<Culprit>>(describe) };
    let mut message = Message::new();
    let Some(culprit) = describe(top) else {
        message.push(format_args!(
            "\ninvalid access to {address:#x}, in the guard of another goroutine's stack\n"
        ));
        sys::write_stderr(message.bytes());
        return;
    };
    message.push(format_args!("\ngoroutine {}", culprit.id));
    if culprit.name_len > 0 {
        message.push(format_args!(" \""));
        message.push_printable(culprit.name());
        message.push(format_args!("\""));
    }
    message.push(format_args!(
        " has overflowed its stack of {} bytes\n",
        culprit.stack_size
    ));
    message.push(format_args!(
        "  raise it with corio::Builder::stack_size or CORIO_STACK_SIZE, \
         or move big locals to the heap\n"
    ));
    sys::write_stderr(message.bytes());
    sys::abort()
}

/// A message built in place, cut off when full. It is written as a whole, so that the messages of
/// two threads don't mix.
struct Message {
    bytes: [u8; 512],
    len: usize,
}

impl Message {
    fn new() -> Self {
        Message {
            bytes: [0; 512],
            len: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Appends. Only for strings and integers, whose formatting neither allocates nor locks.
    fn push(&mut self, text: fmt::Arguments<'_>) {
        // A full buffer cuts the text off, which is no failure.
        let _ = self.write_fmt(text);
    }

    /// Appends with control characters replaced.
    fn push_printable(&mut self, text: &str) {
        for char in text.chars() {
            let _ = self.write_char(if char.is_control() { '?' } else { char });
        }
    }
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let n = text.len().min(room.len());
        room[..n].copy_from_slice(&text.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// What an alternate stack has room for beyond the kernel's own frame: our handler, and std's when it
/// is chained to, in debug builds too.
const ALT_ROOM: usize = 12 * 1024;
/// The smallest alternate stack.
const ALT_MIN: usize = 16 * 1024;

/// The calling thread's alternate signal stack, as long as this lives. See [`alt_stack`].
#[derive(Debug)]
#[must_use = "the alternate stack is taken away when this is dropped"]
pub(crate) struct AltStack {
    /// None if the thread keeps what it had.
    ours: Option<Ours>,
    /// It belongs to the thread.
    _not_send: PhantomData<*mut ()>,
}

/// An alternate stack that was mapped here.
#[derive(Debug)]
struct Ours {
    /// The mapping: a guard page, then the stack.
    base: NonNull<u8>,
    len: usize,
    stack: SignalStack,
    /// What the thread had before.
    previous: Option<SignalStack>,
}

/// Gives the calling thread an alternate signal stack, unless it has one that is big enough, and
/// restores what it had when the result is dropped.
///
/// If no memory is to be had the thread keeps what it has. Without any alternate stack an overflow
/// still can't corrupt memory; the kernel kills the process, without a message.
pub(crate) fn alt_stack() -> AltStack {
    let page = sys::page_size();
    let want = ALT_MIN.max(sys::signal_stack_min() + ALT_ROOM);
    let want = want.next_multiple_of(page);
    let previous = sys::signal_stack();
    let ours = if previous.is_some_and(|stack| stack.len >= want) {
        None
    } else {
        map_alt_stack(page, want, previous)
    };
    AltStack {
        ours,
        _not_send: PhantomData,
    }
}

fn map_alt_stack(page: usize, want: usize, previous: Option<SignalStack>) -> Option<Ours> {
    let len = page + want;
    let base = sys::map(len).ok()?;
    // SAFETY: the mapping is new and starts with the page.
    let guard = unsafe { slab::guard(base, page, GuardKind::Auto) };
    let stack = SignalStack {
        base: base.as_ptr().wrapping_add(page),
        len: want,
    };
    // SAFETY: the memory is used for nothing else and unmapped by `AltStack`'s drop, after another
    // was set.
    if guard.is_err() || unsafe { sys::set_signal_stack(Some(stack)) }.is_err() {
        // SAFETY: nobody else knows the mapping.
        unsafe { sys::unmap(base, len) };
        return None;
    }
    Some(Ours {
        base,
        len,
        stack,
        previous,
    })
}

impl Drop for AltStack {
    fn drop(&mut self) {
        let Some(ours) = &self.ours else { return };
        // Whoever has set another one since may restore ours later: then it has to stay.
        if sys::signal_stack() != Some(ours.stack) {
            return;
        }
        // SAFETY: the previous one was set on this thread by its owner (std, say), who takes it away
        // before freeing it, and outlives us, as it came before. Ours is out of use after that.
        unsafe {
            if sys::set_signal_stack(ours.previous).is_ok() {
                sys::unmap(ours.base, ours.len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::child;
    use super::super::{SizeClass, Stack, pool_get};
    use super::*;
    use std::ffi::{c_int, c_void};
    use std::hint::black_box;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Output;
    use std::sync::atomic::AtomicUsize;

    /// The stack that `describe` takes for the running goroutine's.
    static RUNNING: AtomicUsize = AtomicUsize::new(0);

    fn describe(top: usize) -> Option<Culprit> {
        let mut name = [0; 64];
        name[..6].copy_from_slice("w\nrk\u{e9}".as_bytes());
        (top == RUNNING.load(Ordering::Relaxed)).then_some(Culprit {
            id: 17,
            name,
            name_len: 5, // In the middle of the last character.
            stack_size: SizeClass::DEFAULT.size(),
        })
    }

    #[inline(never)]
    fn recurse(depth: u64) -> u64 {
        let frame = black_box([depth; 64]);
        if depth == u64::MAX {
            return 0;
        }
        recurse(depth + 1) + frame[1]
    }

    extern "C" fn overflow(_: *mut c_void) -> *mut c_void {
        let _alt = alt_stack();
        recurse(0) as *mut c_void
    }

    /// Runs [`overflow`] on the stack, by a thread made to use it (a coroutine is no different to
    /// the handler, and belongs to a layer above).
    fn overflow_on(stack: &Stack) {
        // SAFETY: the stack is ours, and kept to the end of the process.
        unsafe {
            let mut attr = mem::zeroed();
            libc::pthread_attr_init(&mut attr);
            let bottom = stack.bottom().as_ptr().cast();
            let size = stack.class().size();
            assert_eq!(libc::pthread_attr_setstack(&mut attr, bottom, size), 0);
            let mut thread = mem::zeroed();
            let made = libc::pthread_create(&mut thread, &attr, overflow, ptr::null_mut());
            assert_eq!(made, 0);
            libc::pthread_join(thread, ptr::null_mut());
        }
    }

    fn stderr(output: &Output) -> String {
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    #[test]
    fn an_overflow_is_named_and_aborts() {
        let output = child("an_overflow_is_named_and_aborts", || {
            install(describe);
            let stack = pool_get(SizeClass::DEFAULT).unwrap();
            RUNNING.store(stack.top().as_ptr() as usize, Ordering::Relaxed);
            overflow_on(&stack);
        });
        let text = stderr(&output);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
        assert!(
            text.contains(
                "\ngoroutine 17 \"w?rk\" has overflowed its stack of 262144 bytes\n  raise it with \
                 corio::Builder::stack_size or CORIO_STACK_SIZE, or move big locals to the heap\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn another_stacks_guard_is_named_and_chained() {
        let output = child("another_stacks_guard_is_named_and_chained", || {
            install(describe);
            let stack = pool_get(SizeClass::DEFAULT).unwrap();
            overflow_on(&stack);
        });
        let text = stderr(&output);
        // std's handler restores the default action.
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{text}");
        assert!(text.contains("in the guard of another goroutine's stack\n"));
        assert!(!text.contains("has overflowed its stack"), "{text}");
    }

    #[test]
    fn overflows_of_std_threads_stay_stds() {
        let output = child("overflows_of_std_threads_stay_stds", || {
            install(describe);
            let thread = std::thread::Builder::new().name("sailor".to_owned());
            let thread = thread.spawn(|| {
                overflow(ptr::null_mut());
            });
            let _ = thread.unwrap().join();
        });
        let text = stderr(&output);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
        assert!(text.contains("thread 'sailor'"), "{text}");
        assert!(text.contains("overflowed its stack"), "{text}");
    }

    /// Exits with the signal's number and whether it has an address.
    extern "C" fn earlier(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
        // SAFETY: the kernel passes a valid `info`; `_exit` is async-signal-safe.
        unsafe { libc::_exit(signal + if (*info).si_code > 0 { 100 } else { 0 }) }
    }

    fn handle_earlier(signal: c_int, handler: usize, flags: c_int) {
        // SAFETY: the handler fits its flags (or is SIG_DFL, SIG_IGN).
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = flags;
            assert_eq!(libc::sigaction(signal, &action, ptr::null_mut()), 0);
        }
    }

    #[test]
    fn other_faults_reach_the_earlier_handler() {
        let output = child("other_faults_reach_the_earlier_handler", || {
            handle_earlier(
                libc::SIGSEGV,
                earlier as *const () as usize,
                libc::SA_SIGINFO,
            );
            install(describe);
            // SAFETY: none; the fault is the test, and the earlier handler ends the process.
            unsafe { black_box(ptr::without_provenance_mut::<u32>(16)).write_volatile(1) };
        });
        assert_eq!(output.status.code(), Some(100 + libc::SIGSEGV));
    }

    /// Signals that were sent carry other data where faults have their address; here it even looks
    /// like an overflow.
    #[test]
    fn signals_that_are_no_faults_reach_the_earlier_handler() {
        let output = child(
            "signals_that_are_no_faults_reach_the_earlier_handler",
            || {
                handle_earlier(
                    libc::SIGBUS,
                    earlier as *const () as usize,
                    libc::SA_SIGINFO,
                );
                install(describe);
                let stack = pool_get(SizeClass::DEFAULT).unwrap();
                RUNNING.store(stack.top().as_ptr() as usize, Ordering::Relaxed);
                // SAFETY: only sends a signal to this thread; a `siginfo_t` may hold any bytes, and is
                // 128 of them, aligned for the word at 16.
                unsafe {
                    let mut info: libc::siginfo_t = mem::zeroed();
                    info.si_code = libc::SI_QUEUE;
                    let address = stack.bottom().as_ptr().wrapping_sub(1);
                    (&raw mut info).cast::<*mut u8>().add(2).write(address);
                    let (pid, tid) = (libc::getpid(), libc::gettid());
                    let number = libc::SYS_rt_tgsigqueueinfo;
                    libc::syscall(number, pid, tid, libc::SIGBUS, &raw mut info);
                }
            },
        );
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(libc::SIGBUS), "{text}");
        assert!(!text.contains("stack"), "{text}");
    }

    #[test]
    fn without_an_earlier_handler_signals_do_what_they_did() {
        let output = child(
            "without_an_earlier_handler_signals_do_what_they_did",
            || {
                handle_earlier(libc::SIGSEGV, libc::SIG_IGN, 0);
                handle_earlier(libc::SIGBUS, libc::SIG_DFL, 0);
                install(describe);
                // SAFETY: only sends signals.
                unsafe {
                    libc::raise(libc::SIGSEGV);
                    sys::write_stderr(b"ignored\n");
                    libc::raise(libc::SIGBUS);
                }
            },
        );
        assert!(stderr(&output).contains("ignored\n"));
        assert_eq!(output.status.signal(), Some(libc::SIGBUS));
    }

    #[test]
    fn a_real_fault_kills_even_if_it_was_ignored_before() {
        let output = child("a_real_fault_kills_even_if_it_was_ignored_before", || {
            handle_earlier(libc::SIGSEGV, libc::SIG_IGN, 0);
            install(describe);
            // SAFETY: none; the fault is the test, and the kernel ends the process.
            unsafe { black_box(ptr::without_provenance_mut::<u32>(16)).write_volatile(1) };
        });
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
    }

    #[test]
    fn long_messages_are_cut_off() {
        let mut message = Message::new();
        for _ in 0..100 {
            message.push(format_args!("{:08}", 12_345_678));
        }
        message.push_printable("\u{1b}");
        assert_eq!(message.bytes().len(), 512);
        assert!(message.bytes().ends_with(b"12345678"));
    }

    #[test]
    fn a_thread_gets_a_big_alternate_stack_and_its_own_back() {
        std::thread::spawn(|| {
            let before = sys::signal_stack();
            let alt = alt_stack();
            let ours = sys::signal_stack().unwrap();
            assert!(ours.len >= ALT_MIN && ours.len >= sys::signal_stack_min() + ALT_ROOM);
            let readable = super::super::slab::tests::readable;
            assert!(alt.ours.is_none() || !readable(ours.base.wrapping_sub(1)));
            let nested = alt_stack();
            assert!(nested.ours.is_none(), "a big one is kept");
            drop(nested);
            assert_eq!(sys::signal_stack(), Some(ours));
            drop(alt);
            assert_eq!(sys::signal_stack(), before);
        })
        .join()
        .unwrap();
    }
}
