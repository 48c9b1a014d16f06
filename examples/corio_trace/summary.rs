//! Adding up: from events to figures.
//!
//! A goroutine is followed from wake-up to turn to what ends the turn. Events of different tracks are in order but for
//! some nanoseconds, and some may be missing; so no step relies on the one before, and what doesn't fit is left out.

use std::collections::{BTreeMap, HashMap};

use hdrhistogram::Histogram;

use crate::read::{Error, Event};

/// The `pid` of the Ps' tracks.
const PS: u32 = 1;

/// Durations: nanoseconds, with two digits.
#[derive(Debug)]
pub(crate) struct Times {
    /// All of them.
    pub(crate) histogram: Histogram<u64>,
    /// Their sum, in ns.
    pub(crate) total: u64,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            histogram: Histogram::new(2).expect("two digits are possible"),
            total: 0,
        }
    }
}

impl Times {
    fn add(&mut self, from: f64, to: f64) -> u64 {
        let ns = ((to - from).max(0.0) * 1000.0).round() as u64;
        // It resizes itself, and so takes all.
        let _ = self.histogram.record(ns);
        self.total += ns;
        ns
    }
}

/// What a goroutine does.
#[derive(Debug, Default)]
enum Doing {
    /// Not known, or over.
    #[default]
    Nothing,
    /// In a queue since then, having been woken, or having yielded.
    Queued(f64, Why),
    /// Waiting since then, for this.
    Waiting(f64, String),
}

#[derive(Clone, Copy, Debug)]
enum Why {
    Woken,
    Yielded,
}

/// A goroutine.
#[derive(Debug, Default)]
pub(crate) struct Goroutine {
    /// As the trace calls it.
    pub(crate) label: String,
    /// Turns.
    pub(crate) turns: u64,
    /// Nanoseconds on a P, or without one.
    pub(crate) ran: u64,
    /// Nanoseconds in queues.
    pub(crate) queued: u64,
    /// Nanoseconds of waiting for something.
    pub(crate) waited: u64,
    doing: Doing,
}

/// A P.
#[derive(Debug, Default)]
pub(crate) struct Proc {
    /// Nanoseconds in which goroutines ran.
    pub(crate) ran: u64,
    /// Turns.
    pub(crate) turns: u64,
}

#[derive(Debug)]
struct Slice {
    cat: String,
    g: Option<u64>,
    since: f64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// Microseconds.
    pub(crate) duration: f64,
    /// Lines.
    pub(crate) lines: u64,
    /// The process was killed before the trace was complete.
    pub(crate) torn: bool,
    /// Events that were lost.
    pub(crate) dropped: u64,
    /// From being woken to running.
    pub(crate) woken: Times,
    /// From yielding to running.
    pub(crate) yielded: Times,
    /// Turns.
    pub(crate) turns: Times,
    /// Turns without a P, after sysmon took it.
    pub(crate) without: Times,
    /// Blocking calls.
    pub(crate) blocking: Times,
    /// From parking to being woken, by reason.
    pub(crate) waits: BTreeMap<String, Times>,
    /// Turns by where the goroutine was found.
    pub(crate) found: BTreeMap<String, u64>,
    /// Turns by how they ended.
    pub(crate) ended: BTreeMap<String, u64>,
    /// Decisions: how often, and of how many goroutines.
    pub(crate) decisions: BTreeMap<String, (u64, u64)>,
    /// By number.
    pub(crate) procs: BTreeMap<u32, Proc>,
    /// By number.
    pub(crate) goroutines: HashMap<u64, Goroutine>,
    open: HashMap<(u32, u32), Vec<Slice>>,
    ours: bool,
}

impl Summary {
    /// Adds an event.
    pub(crate) fn add(&mut self, event: &Event<'_>) {
        self.lines += 1;
        self.duration = self.duration.max(event.ts);
        let track = (event.pid, event.tid);
        match &*event.ph {
            "M" => self.ours |= event.pid == PS && event.args.name == "Ps",
            "B" => {
                if event.pid == PS && event.cat == "run" {
                    self.begin_turn(event);
                }
                self.open.entry(track).or_default().push(Slice {
                    cat: event.cat.clone().into_owned(),
                    g: event.args.g,
                    since: event.ts,
                });
                if matches!(&*event.cat, "poll" | "timers") {
                    self.decide(&event.name, event.args.n);
                }
            }
            "E" => {
                let slice = self.open.get_mut(&track).and_then(Vec::pop);
                if let Some(slice) = slice {
                    self.end(&slice, event);
                }
            }
            "s" => self.wake(event),
            "i" => self.instant(event),
            _ => {}
        }
    }

    fn begin_turn(&mut self, event: &Event<'_>) {
        let from = event.args.from.as_str().unwrap_or("unknown");
        count(&mut self.found, from);
        let Some(g) = event.args.g else { return };
        let g = self.goroutines.entry(g).or_default();
        if g.label != event.name {
            g.label = event.name.clone().into_owned();
        }
        g.turns += 1;
        if let Doing::Queued(since, why) = std::mem::take(&mut g.doing) {
            let times = match why {
                Why::Woken => &mut self.woken,
                Why::Yielded => &mut self.yielded,
            };
            g.queued += times.add(since, event.ts);
        }
    }

    fn end(&mut self, slice: &Slice, event: &Event<'_>) {
        let g = slice.g.map(|g| self.goroutines.entry(g).or_default());
        let ns = match &*slice.cat {
            "run" => {
                let ns = self.turns.add(slice.since, event.ts);
                let proc = self.procs.entry(event.tid.saturating_sub(1)).or_default();
                proc.ran += ns;
                proc.turns += 1;
                ns
            }
            "nop" => self.without.add(slice.since, event.ts),
            "block" => {
                self.blocking.add(slice.since, event.ts);
                return;
            }
            _ => return,
        };
        count(&mut self.ended, &event.args.end);
        let Some(g) = g else { return };
        g.ran += ns;
        match &*event.args.end {
            "yield" => g.doing = Doing::Queued(event.ts, Why::Yielded),
            // Unless its waker, on another track, was quicker.
            "park" if !matches!(g.doing, Doing::Queued(..)) => {
                g.doing = Doing::Waiting(event.ts, event.args.reason.clone());
            }
            _ => {}
        }
    }

    fn wake(&mut self, event: &Event<'_>) {
        let Some(g) = event.args.g else { return };
        let g = self.goroutines.entry(g).or_default();
        let queued = Doing::Queued(event.ts, Why::Woken);
        if let Doing::Waiting(since, reason) = std::mem::replace(&mut g.doing, queued) {
            g.waited += self.waits.entry(reason).or_default().add(since, event.ts);
        }
        self.decide(&event.name, 1);
    }

    fn instant(&mut self, event: &Event<'_>) {
        match (&*event.cat, &*event.name) {
            ("trace", "dropped") => self.dropped += event.args.n,
            ("trace", _) | ("wake", _) => {}
            ("sysmon", "took P") => {
                let name = format!("took P ({})", event.args.why);
                self.decide(&name, 1);
            }
            (_, name) => self.decide(name, event.args.n),
        }
    }

    fn decide(&mut self, name: &str, n: u64) {
        let (times, goroutines) = match self.decisions.get_mut(name) {
            Some(decision) => decision,
            None => self.decisions.entry(name.to_owned()).or_default(),
        };
        *times += 1;
        *goroutines += n;
    }

    /// All has been added.
    pub(crate) fn finish(mut self, torn: bool) -> Result<Summary, Error> {
        if !self.ours {
            let why = "nothing in it is called `Ps`";
            return Err(Error::Foreign(why.into()));
        }
        self.torn = torn;
        Ok(self)
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}
