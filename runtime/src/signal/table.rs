//! Who wants which signals, and what is set in the system.
//!
//! One table, under a lock that parks, since setting a handler takes its time and the thread may have to be
//! started. Three parties change it: those who subscribe and unsubscribe, and the thread.
//!
//! | `now` | the system's action is | changed by, to |
//! | --- | --- | --- |
//! | `Original` | whatever it was before | a subscription → `Hooked`; `ignore` → `Ignored` |
//! | `Hooked` | signal-hook's handler | `ignore` → `Ignored`; `reset`, or that nobody wants it any more → `Original` |
//! | `Ignored` | to ignore | a subscription → `Hooked`; `reset` → `Original` |
//!
//! signal-hook can't take its handler away again: it would go on swallowing a signal that nobody wants. So its
//! action is kept here once it has been set, and put in and out by ourselves. If somebody else has set
//! another action meanwhile it is left alone. (Who registers with signal-hook for the same signal, and after
//! us, shares its handler with us, and loses it with us. That can't be told from outside.) It also says
//! `SA_ONSTACK`, which signal-hook does not: a handler on a goroutine's stack might not fit what is left of
//! it.
//!
//! That a subscriber's channel has no receiver any more is noticed when it is looked at: when a signal
//! comes, before anything else is done with it; and when somebody subscribes or unsubscribes. So a signal
//! that comes when the last receiver is gone finds nobody, its original action is put back, and if that is
//! the default the signal is sent once more, to take its course.

use super::sys::{self, Action};
use super::{Received, Signal};
use crate::channel::{Sender, TrySendError};
use crate::context::{CancelCauseFunc, Context};
use crate::sched::sysmon::sys::gettid;
use crate::sync::mutex::Mutex;
use crate::task::report::{Outside, SIGNALS};
use signal_hook::iterator::{Handle, Signals};
use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::panic::catch_unwind;
use std::thread;

static TABLE: Mutex<Table> = Mutex::new(Table {
    thread: None,
    subscriptions: Vec::new(),
    last_id: 0,
    actions: BTreeMap::new(),
});

struct Table {
    /// Once it has been started.
    thread: Option<Handle>,
    subscriptions: Vec<Subscription>,
    last_id: u64,
    /// Of signals that were ever touched.
    actions: BTreeMap<Signal, Actions>,
}

/// Dropped without the lock: a context's last handle may drop the user's closures.
struct Subscription {
    id: u64,
    signals: Vec<Signal>,
    target: Target,
}

/// Where signals go.
#[derive(Clone)]
pub(super) enum Target {
    Channel(Sender<Signal>),
    /// Cancels the context, which is the one of the function.
    Context(Context, CancelCauseFunc),
}

struct Actions {
    now: Now,
    original: Action,
    /// signal-hook's, once it has set it.
    hook: Option<Action>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Original,
    Hooked,
    Ignored,
}

impl Target {
    /// Delivers the signal. `false`: nobody wants it any more.
    fn deliver(&self, signal: Signal) -> bool {
        match self {
            Target::Channel(sender) => {
                !matches!(sender.try_send(signal), Err(TrySendError::Disconnected(_)))
            }
            Target::Context(_, cancel) => {
                cancel.cancel(Received(signal));
                true
            }
        }
    }

    /// Can it still be delivered to?
    fn is_wanted(&self) -> bool {
        match self {
            Target::Channel(sender) => !sender.is_disconnected(),
            // Until it is stopped, also if it is done.
            Target::Context(..) => true,
        }
    }

    /// Can a signal still wake anybody?
    fn is_live(&self) -> bool {
        match self {
            Target::Channel(sender) => !sender.is_disconnected(),
            Target::Context(context, _) => context.err().is_none(),
        }
    }
}

impl Table {
    fn thread(&mut self) -> io::Result<&Handle> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => start()?,
        };
        Ok(self.thread.insert(thread))
    }

    fn is_wanted(&self, signal: Signal) -> bool {
        let mut all = self.subscriptions.iter();
        all.any(|subscription| subscription.signals.contains(&signal))
    }

    /// The signal's actions, the original one as it is now. For who is about to set another.
    fn actions(&mut self, signal: Signal) -> io::Result<&mut Actions> {
        let current = Action::current(signal.0)?;
        let actions = self.actions.entry(signal).or_insert(Actions {
            now: Now::Original,
            original: current,
            hook: None,
        });
        if actions.now == Now::Original {
            actions.original = current;
        }
        Ok(actions)
    }

    /// Has signal-hook's handler called.
    fn hook(&mut self, signal: Signal) -> io::Result<()> {
        let actions = self.actions(signal)?;
        let hook = match actions.hook {
            _ if actions.now == Now::Hooked => return Ok(()),
            Some(hook) => hook,
            None => {
                self.thread()?.add_signal(signal.0)?;
                Action::current(signal.0)?.on_alternate_stack()
            }
        };
        hook.set(signal.0)?;
        if let Some(actions) = self.actions.get_mut(&signal) {
            actions.hook = Some(hook);
            actions.now = Now::Hooked;
        }
        Ok(())
    }

    /// Takes unwanted subscriptions out and puts the actions of unwanted signals back.
    #[must_use = "to be dropped without the lock"]
    fn settle(&mut self) -> Vec<Subscription> {
        let all = mem::take(&mut self.subscriptions);
        let wanted = |subscription: &Subscription| {
            !subscription.signals.is_empty() && subscription.target.is_wanted()
        };
        let (wanted, unwanted) = all.into_iter().partition(wanted);
        self.subscriptions = wanted;
        let hooked: Vec<Signal> = self
            .actions
            .iter()
            .filter_map(|(signal, actions)| (actions.now == Now::Hooked).then_some(*signal))
            .collect();
        for signal in hooked {
            if !self.is_wanted(signal) {
                self.restore(signal);
            }
        }
        unwanted
    }

    /// Puts back what was there before, unless somebody else has set something meanwhile.
    fn restore(&mut self, signal: Signal) {
        let Some(actions) = self.actions.get_mut(&signal) else {
            return;
        };
        let ours = match actions.now {
            Now::Original => return,
            Now::Hooked => actions.hook,
            Now::Ignored => Some(Action::ignore()),
        };
        actions.now = Now::Original;
        // Both succeed for a signal for which they have succeeded before.
        if let (Some(ours), Ok(current)) = (ours, Action::current(signal.0))
            && current.is_like(&ours)
        {
            let _ = actions.original.set(signal.0);
        }
    }

    /// Nobody gets these signals any more.
    fn withdraw(&mut self, signals: &[Signal]) {
        for subscription in &mut self.subscriptions {
            subscription
                .signals
                .retain(|signal| !signals.contains(signal));
        }
    }
}

/// Starts the thread.
fn start() -> io::Result<Handle> {
    let mut signals = Signals::new::<[i32; 0], i32>([])?;
    let thread = signals.handle();
    thread::Builder::new()
        .name("corio-signal".into())
        .spawn(move || {
            let outside = Outside {
                tid: gettid(),
                is_live,
            };
            // It is set once, since the thread is started once.
            let _ = SIGNALS.set(outside);
            for signal in signals.forever() {
                // What a cancelled context lets go of is the user's, and its destructors may panic, which
                // the hook has reported then. Others still want their signals.
                let delivered = catch_unwind(|| deliver(Signal(signal)));
                // The payload's destructor might panic as well.
                delivered.unwrap_or_else(mem::forget);
            }
        })?;
    Ok(thread)
}

/// May a signal still wake anybody? Somebody who is just changing the table may.
fn is_live() -> bool {
    TABLE.try_lock().is_none_or(|table| {
        let mut all = table.subscriptions.iter();
        all.any(|subscription| subscription.target.is_live())
    })
}

/// On the thread: a signal has come.
fn deliver(signal: Signal) {
    loop {
        let mut table = TABLE.lock();
        let unwanted = table.settle();
        let targets: Vec<Target> = table
            .subscriptions
            .iter()
            .filter(|subscription| subscription.signals.contains(&signal))
            .map(|subscription| subscription.target.clone())
            .collect();
        let unheard = targets.is_empty()
            && table.actions.get(&signal).is_some_and(|actions| {
                actions.now == Now::Original && actions.original.is_default()
            });
        if unheard {
            // Under the lock, so that nobody subscribes before it takes its course.
            sys::raise(signal.0);
        }
        drop(table);
        drop(unwanted);
        if targets.is_empty() {
            return;
        }
        let mut heard = false;
        for target in &targets {
            heard |= target.deliver(signal);
        }
        if heard {
            return;
        }
        // The last receiver went away meanwhile.
    }
}

/// Has `signals` delivered to `target` from now on, until nobody is there or [`unsubscribe`].
pub(super) fn subscribe(signals: &[Signal], target: Target) -> io::Result<u64> {
    let mut table = TABLE.lock();
    let hooked: io::Result<()> = signals.iter().try_for_each(|&signal| table.hook(signal));
    let result = hooked.map(|()| {
        table.last_id += 1;
        let id = table.last_id;
        table.subscriptions.push(Subscription {
            id,
            signals: signals.to_vec(),
            target,
        });
        id
    });
    // Those hooked for a subscription that failed are put back.
    let unwanted = table.settle();
    drop(table);
    drop(unwanted);
    result
}

/// Ends a subscription.
pub(super) fn unsubscribe(id: u64) {
    let mut table = TABLE.lock();
    for subscription in &mut table.subscriptions {
        if subscription.id == id {
            subscription.signals.clear();
        }
    }
    let unwanted = table.settle();
    drop(table);
    drop(unwanted);
}

/// Nobody gets these signals any more, and they do nothing.
pub(super) fn ignore(signals: &[Signal]) -> io::Result<()> {
    let mut table = TABLE.lock();
    table.withdraw(signals);
    let result = signals.iter().try_for_each(|&signal| {
        let actions = table.actions(signal)?;
        Action::ignore().set(signal.0)?;
        actions.now = Now::Ignored;
        Ok(())
    });
    let unwanted = table.settle();
    drop(table);
    drop(unwanted);
    result
}

/// Nobody gets these signals any more, and they do what they did before.
pub(super) fn reset(signals: &[Signal]) {
    let mut table = TABLE.lock();
    table.withdraw(signals);
    for &signal in signals {
        table.restore(signal);
    }
    let unwanted = table.settle();
    drop(table);
    drop(unwanted);
}

/// Does the signal do nothing?
pub(super) fn is_ignored(signal: Signal) -> bool {
    Action::current(signal.0).is_ok_and(|action| action.is_ignore())
}
