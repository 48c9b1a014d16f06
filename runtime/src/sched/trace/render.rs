//! From events to lines: what each track shows.
//!
//! | track | slices |
//! | --- | --- |
//! | a P | turns of goroutines; polling and running timers between them |
//! | an M | which P it has, and within that spinning; asleep; polling; a goroutine that goes on without a P; a blocking call |
//! | sysmon, other threads | what they do at one moment |
//!
//! Arrows lead from where a goroutine was made ready, or spawned, to where it runs. They begin and end in slices, since
//! viewers attach them to these; where there is none, one without extent is made.
//!
//! The events come in the order of their stamps, which is right for those of one source and nearly right between two
//! (`prim::trace::stamp`); some may be missing. So nothing here relies on what has been before: a turn that begins ends
//! whatever was open, an end without a beginning is passed over, and a track's time never goes back.
//!
//! A slice of a P in which goroutines are made ready stays open until something else happens there: so their arrows
//! begin in it.

use super::out::{Out, Track, escaped};
use crate::prim::trace::{Event, Kind, Queue, Turn, switched, was_sent, who};
use crate::sched::reason::WaitReason;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, Write};
use std::panic::Location;
use std::sync::Arc;

const PS: u32 = 1;
const MS: u32 = 2;
const RUNTIME: u32 = 3;
const SYSMON: Track = Track {
    pid: RUNTIME,
    tid: 1,
};
const OTHERS: Track = Track {
    pid: RUNTIME,
    tid: 2,
};
/// Goroutines are counted anew at most this often (ns).
const COUNT_EVERY: u64 = 1_000_000;

fn p_track(p: u32) -> Track {
    Track {
        pid: PS,
        tid: p + 1,
    }
}

fn m_track(m: u32) -> Track {
    match m {
        who::NO_M => OTHERS,
        who::SYSMON => SYSMON,
        m => Track { pid: MS, tid: m },
    }
}

/// Hashes small numbers that nobody chooses to do harm, in a tenth of the time of the default: each line takes several
/// looks into a table.
type Numbers = BuildHasherDefault<Mix>;

#[derive(Debug, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        // An odd number without a pattern: the golden ratio's.
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The product's good bits are the upper ones; tables use both ends.
        self.0.rotate_left(26)
    }
}

/// Who has recorded an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The owner of this P.
    P(u32),
    /// The M of this number, or one of [`who`].
    M(u32),
}

/// What a P's track is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// A goroutine's turn.
    Turn,
    /// A turn that is over.
    Over(&'static str, WaitReason),
    /// Anything else that is over.
    Past,
}

#[derive(Debug)]
struct PState {
    doing: Doing,
    /// The goroutine whose turn it is.
    g: u64,
    /// The M that has it; 0: none, or not known.
    m: u32,
    /// Where the next goroutine was found.
    from: Option<&'static str>,
}

/// An open slice of an M's track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slice {
    Has(u32),
    Spinning,
    Asleep,
    Polled,
    Blocking(u64),
    Without(u64),
}

#[derive(Debug, Default)]
struct MState {
    open: Vec<Slice>,
    /// It has been made known.
    named: bool,
}

/// A goroutine that has not ended.
#[derive(Debug)]
struct GState {
    /// As it is shown.
    label: Box<str>,
    /// The arrow that leads to its next turn, and its name.
    arrow: Option<(u64, &'static str)>,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Render<W> {
    out: Out<W>,
    ps: Vec<PState>,
    ms: HashMap<u32, MState, Numbers>,
    gs: HashMap<u64, GState, Numbers>,
    /// Names of goroutines whose making has not been shown so far.
    names: HashMap<u64, Arc<str>>,
    /// When something last happened on each track.
    last: HashMap<Track, u64, Numbers>,
    arrows: u64,
    counted_at: u64,
    counted: usize,
    latest: u64,
}

impl<W: Write> Render<W> {
    pub(super) fn new(writer: W) -> io::Result<Self> {
        let mut render = Render {
            out: Out::new(writer),
            ps: Vec::new(),
            ms: HashMap::default(),
            gs: HashMap::default(),
            names: HashMap::new(),
            last: HashMap::default(),
            arrows: 0,
            counted_at: 0,
            counted: usize::MAX,
            latest: 0,
        };
        for (pid, name) in [(PS, "Ps"), (MS, "Ms (threads)"), (RUNTIME, "runtime")] {
            render.describe("process_name", Track { pid, tid: 0 }, name)?;
        }
        render.describe("thread_name", SYSMON, "sysmon")?;
        render.describe("thread_name", OTHERS, "other threads")?;
        Ok(render)
    }

    fn describe(&mut self, what: &str, track: Track, name: &str) -> io::Result<()> {
        let line = self.out.event("M", track, 0);
        line.text("name", what).arg_text("name", name).end()
    }

    /// Makes an M known.
    pub(super) fn name_m(&mut self, m: u32, worker: bool) -> io::Result<()> {
        let state = self.ms.entry(m).or_default();
        if m == who::NO_M || m == who::SYSMON || std::mem::replace(&mut state.named, true) {
            return Ok(());
        }
        let name = if worker {
            format!("M{m}")
        } else {
            format!("M{m} (thread)")
        };
        self.describe("thread_name", m_track(m), &name)
    }

    fn p(&mut self, p: u32) -> io::Result<&mut PState> {
        while self.ps.len() <= p as usize {
            let n = self.ps.len() as u32;
            self.describe("thread_name", p_track(n), &format!("P{n}"))?;
            self.ps.push(PState {
                doing: Doing::Nothing,
                g: 0,
                m: 0,
                from: None,
            });
        }
        Ok(&mut self.ps[p as usize])
    }

    /// Makes a goroutine known that was there before the trace began.
    pub(super) fn exists(
        &mut self,
        g: u64,
        name: Option<&str>,
        at: Option<&'static Location<'static>>,
    ) -> io::Result<()> {
        self.know(g, name, at);
        let line = self.out.event("i", OTHERS, 0);
        line.text("s", "t")
            .text("cat", "wake")
            .text("name", "exists");
        line.arg("g", g);
        if let Some(name) = name {
            line.arg_text("goroutine", &escaped(name));
        }
        if let Some(at) = at {
            line.arg_text("location", &escaped(&at.to_string()));
        }
        line.end()
    }

    fn know(&mut self, g: u64, name: Option<&str>, at: Option<&'static Location<'static>>) {
        let label = match (name, at) {
            (Some(name), _) => format!("G{g} {name}"),
            (None, Some(at)) => {
                let file = at.file().rsplit(['/', '\\']).next().unwrap_or_default();
                format!("G{g} {file}:{}", at.line())
            }
            (None, None) => format!("G{g}"),
        };
        let arrow = None;
        let label = escaped(&label).into();
        self.gs.insert(g, GState { label, arrow });
    }

    /// A goroutine was given a name.
    pub(super) fn name(&mut self, g: u64, name: Arc<str>) {
        match self.gs.get_mut(&g) {
            Some(state) => state.label = escaped(&format!("G{g} {name}")).into(),
            None => {
                self.names.insert(g, name);
            }
        }
    }

    fn forget(&mut self, g: u64) {
        self.gs.remove(&g);
        self.names.remove(&g);
    }

    fn label(&self, g: u64) -> String {
        match self.gs.get(&g) {
            Some(state) => state.label.to_string(),
            None => format!("G{g}"),
        }
    }

    /// The time on a track, which is not to go back.
    fn time(&mut self, track: Track, ns: u64) -> u64 {
        let last = self.last.entry(track).or_default();
        *last = ns.max(*last);
        *last
    }

    fn open(&mut self, track: Track, ns: u64, cat: &str, name: &str) -> &mut Out<W> {
        let ns = self.time(track, ns);
        self.out
            .event("B", track, ns)
            .text("cat", cat)
            .text("name", name)
    }

    fn close(&mut self, track: Track, ns: u64) -> &mut Out<W> {
        let ns = self.time(track, ns);
        self.out.event("E", track, ns)
    }

    fn instant(&mut self, track: Track, ns: u64, cat: &str, name: &str) -> &mut Out<W> {
        let ns = self.time(track, ns);
        self.out
            .event("i", track, ns)
            .text("s", "t")
            .text("cat", cat)
            .text("name", name)
    }

    /// Shows one event. `dur` is how many ns it took, of those that say so.
    pub(super) fn show(
        &mut self,
        source: Source,
        ns: u64,
        dur: u64,
        event: Event,
    ) -> io::Result<()> {
        self.latest = ns.max(self.latest);
        match source {
            Source::P(p) => self.show_on_p(p, ns, dur, event)?,
            Source::M(m) => {
                self.name_m(m, event.kind == Kind::MStart)?;
                self.show_on_m(m, ns, dur, event)?;
            }
        }
        if ns >= self.counted_at.saturating_add(COUNT_EVERY) {
            self.count(ns)?;
        }
        Ok(())
    }

    /// How many goroutines there are.
    fn count(&mut self, ns: u64) -> io::Result<()> {
        if self.gs.len() == self.counted {
            return Ok(());
        }
        (self.counted, self.counted_at) = (self.gs.len(), ns);
        let line = self.out.event("C", Track { pid: PS, tid: 0 }, ns);
        line.text("name", "goroutines")
            .arg("live", self.counted as u64)
            .end()
    }

    fn show_on_p(&mut self, p: u32, ns: u64, dur: u64, event: Event) -> io::Result<()> {
        let Event { kind, a, b } = event;
        let track = p_track(p);
        if !matches!(kind, Kind::Ready | Kind::Create | Kind::Made) {
            self.end_past(p, ns)?;
        }
        match kind {
            Kind::Run => self.begin_turn(p, ns, a, b),
            Kind::Yield => self.over(p, a, "yield", WaitReason::None),
            Kind::Park => self.over(p, a, "park", WaitReason::from_u32(b as u32)),
            Kind::WaitForP => self.over(p, a, "waits for a P", WaitReason::None),
            Kind::Exit => {
                self.forget(a);
                self.over(p, a, "exit", WaitReason::None)
            }
            Kind::Create | Kind::Made | Kind::Ready => {
                let enclosed = self.p(p)?.doing != Doing::Nothing;
                self.wake(track, ns, event, enclosed, Queue::Next)
            }
            Kind::Poll => self.past(p, ns, dur, |render, begin| {
                let line = render.open(track, begin, "poll", "poll");
                line.arg("n", a).arg_bool("blocking", false).end()
            }),
            Kind::Timers => self.past(p, ns, dur, |render, begin| {
                let line = render.open(track, begin, "timers", "timers");
                line.arg("n", a & u64::from(u32::MAX))
                    .arg("p", a >> 32)
                    .end()
            }),
            Kind::Global => self.decide(p, ns, "global queue", "global queue", &[("n", a)]),
            Kind::GlobalTick => {
                const TICK: &str = "global queue (61st tick)";
                self.decide(p, ns, TICK, TICK, &[("n", a)])
            }
            Kind::Steal => self.decide(p, ns, "stolen", "steal", &[("from", a), ("n", b)]),
            Kind::StealNext => {
                self.decide(p, ns, "stolen runnext", "steal runnext", &[("from", a)])
            }
            Kind::SliceOver => self
                .instant(track, ns, "sched", "slice over")
                .arg("g", a)
                .end(),
            Kind::Start => {
                self.take_up(p, ns, a as u32)?;
                if b != 0 {
                    self.push(a as u32, ns, Slice::Spinning)?;
                }
                Ok(())
            }
            Kind::Idle => self.give_up(p, ns, "idle", a as u32),
            Kind::Stopped => {
                let m = self.p(p)?.m;
                self.give_up(p, ns, "stopped", m)
            }
            Kind::HandOff => self.give_up(p, ns, "hand off", a as u32),
            Kind::Sent => {
                let (by, spinning, g) = was_sent(b);
                self.leave(p, ns, "handed off")?;
                self.p(p)?.from = (g != 0).then_some("sent");
                let line = self.instant(track, ns, "sched", "wake M");
                line.arg("m", a)
                    .arg("by", by.into())
                    .arg_bool("spinning", spinning);
                if g != 0 {
                    line.arg("g", g);
                }
                line.end()
            }
            Kind::Spin => self.push(a as u32, ns, Slice::Spinning),
            Kind::Found => self.pop(a as u32, ns, |slice| slice == Slice::Spinning),
            Kind::Block => self.push(b as u32, ns, Slice::Blocking(a)),
            Kind::Unblock => self.pop(b as u32, ns, |slice| slice == Slice::Blocking(a)),
            Kind::TookBlocked => self.took(p, ns, a as u32, b, "blocked"),
            Kind::TookHog => self.took(p, ns, a as u32, b, "computes"),
            Kind::MakeWay => {
                let line = self.instant(track, ns, "sysmon", "queue to global");
                line.arg("n", a).end()
            }
            // These are not recorded by who has a P.
            Kind::PollBlocking
            | Kind::MoveNext
            | Kind::Ask
            | Kind::MStart
            | Kind::MEnd
            | Kind::Asleep => Ok(()),
        }
    }

    fn show_on_m(&mut self, m: u32, ns: u64, dur: u64, event: Event) -> io::Result<()> {
        let Event { kind, a, b } = event;
        let track = m_track(m);
        if kind != Kind::Ready {
            self.pop(m, ns, |slice| slice == Slice::Polled)?;
        }
        match kind {
            Kind::Create | Kind::Made | Kind::Ready => {
                let enclosed = self.ms.get(&m).is_some_and(|m| !m.open.is_empty());
                self.wake(track, ns, event, enclosed, Queue::Global)
            }
            Kind::Poll | Kind::PollBlocking => {
                let begin = ns.saturating_sub(dur);
                let blocking = kind == Kind::PollBlocking;
                let line = self.open(track, begin, "poll", "poll");
                line.arg("n", a).arg_bool("blocking", blocking).end()?;
                self.ms.entry(m).or_default().open.push(Slice::Polled);
                Ok(())
            }
            Kind::Block => self.push(m, ns, Slice::Blocking(a)),
            Kind::Unblock => self.pop(m, ns, |slice| slice == Slice::Blocking(a)),
            Kind::Yield => self.end_without(m, ns, a, "yield", WaitReason::None),
            Kind::Park => self.end_without(m, ns, a, "park", WaitReason::from_u32(b as u32)),
            Kind::WaitForP => self.end_without(m, ns, a, "waits for a P", WaitReason::None),
            Kind::Exit => {
                self.forget(a);
                self.end_without(m, ns, a, "exit", WaitReason::None)
            }
            Kind::Asleep => self.push(m, ns, Slice::Asleep),
            Kind::MStart => self.instant(track, ns, "m", "M started").arg("m", a).end(),
            Kind::MEnd => {
                self.pop(m, ns, |_| true)?;
                self.instant(track, ns, "m", "M ended").arg("m", a).end()
            }
            Kind::MoveNext => {
                let line = self.instant(track, ns, "sysmon", "runnext to global");
                line.arg("p", a).arg("g", b).end()
            }
            Kind::Ask => self.instant(track, ns, "sysmon", "asked").arg("p", a).end(),
            // All others are a P's.
            _ => Ok(()),
        }
    }

    /// A decision that the P's next turn comes from.
    fn decide(
        &mut self,
        p: u32,
        ns: u64,
        from: &'static str,
        name: &str,
        args: &[(&str, u64)],
    ) -> io::Result<()> {
        self.p(p)?.from = Some(from);
        let line = self.instant(p_track(p), ns, "sched", name);
        for (key, value) in args {
            line.arg(key, *value);
        }
        line.end()
    }

    fn begin_turn(&mut self, p: u32, ns: u64, g: u64, b: u64) -> io::Result<()> {
        let (m, turn) = switched(b);
        self.end_turn(p, ns, "unknown", WaitReason::None)?;
        self.take_up_quietly(p, ns, m)?;
        let from = self.p(p)?.from.take();
        let from = match (turn, from) {
            (Turn::Again, _) => "made ready before it parked",
            (Turn::Unblocked, _) => "blocking ended",
            (_, Some(from)) => from,
            (Turn::Next, None) => "runnext",
            (Turn::Queued, None) => "queue",
        };
        self.turn(p, ns, g, from)?;
        let arrow = self.gs.get_mut(&g).and_then(|g| g.arrow.take());
        if let Some((id, name)) = arrow {
            let track = p_track(p);
            let ns = self.time(track, ns);
            let line = self.out.event("f", track, ns);
            line.text("cat", "wake").text("name", name).text("bp", "e");
            line.field("id", id).arg("g", g).end()?;
        }
        Ok(())
    }

    fn turn(&mut self, p: u32, ns: u64, g: u64, from: &'static str) -> io::Result<()> {
        let state = self.p(p)?;
        (state.doing, state.g) = (Doing::Turn, g);
        let m = state.m;
        let ns = self.time(p_track(p), ns);
        let line = self.out.event("B", p_track(p), ns).text("cat", "run");
        match self.gs.get(&g) {
            Some(state) => line.text("name", &state.label),
            None => line.text("name", &format!("G{g}")),
        };
        line.arg("g", g).arg("m", m.into()).arg_text("from", from);
        line.end()
    }

    /// The P's goroutine's turn is over: its slice ends with what follows.
    fn over(&mut self, p: u32, g: u64, how: &'static str, why: WaitReason) -> io::Result<()> {
        let state = self.p(p)?;
        if state.doing == Doing::Turn && state.g == g {
            state.doing = Doing::Over(how, why);
        }
        Ok(())
    }

    /// Ends the P's slice if that is over.
    fn end_past(&mut self, p: u32, ns: u64) -> io::Result<()> {
        match self.p(p)?.doing {
            Doing::Nothing | Doing::Turn => Ok(()),
            Doing::Over(how, why) => self.end_turn(p, ns, how, why),
            Doing::Past => {
                self.p(p)?.doing = Doing::Nothing;
                self.close(p_track(p), ns).end()
            }
        }
    }

    fn end_turn(&mut self, p: u32, ns: u64, how: &str, why: WaitReason) -> io::Result<()> {
        let state = self.p(p)?;
        if !matches!(state.doing, Doing::Turn | Doing::Over(..)) {
            return Ok(());
        }
        state.doing = Doing::Nothing;
        self.close_turn(p_track(p), ns, how, why)
    }

    /// Something other than a turn is over that took `dur` ns.
    fn past(
        &mut self,
        p: u32,
        ns: u64,
        dur: u64,
        begin: impl FnOnce(&mut Self, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.p(p)?.doing == Doing::Turn {
            // Its end was lost.
            self.end_turn(p, ns, "unknown", WaitReason::None)?;
        }
        begin(self, ns.saturating_sub(dur))?;
        self.time(p_track(p), ns);
        self.p(p)?.doing = Doing::Past;
        Ok(())
    }

    /// A goroutine is made, or made ready: an arrow begins.
    fn wake(
        &mut self,
        track: Track,
        ns: u64,
        event: Event,
        enclosed: bool,
        queue: Queue,
    ) -> io::Result<()> {
        let Event { kind, a: g, b } = event;
        let (name, queue) = match kind {
            Kind::Ready => ("ready", Some(Queue::from_raw(b))),
            Kind::Create => ("create", Some(queue)),
            _ => ("create", None),
        };
        let mut location = None;
        if kind != Kind::Ready {
            // SAFETY: `SpawnRequest::event` put the address of a `&'static Location` there.
            let at: &'static Location<'static> =
                unsafe { &*(b as usize as *const Location<'static>) };
            let name = self.names.remove(&g);
            self.know(g, name.as_deref(), Some(at));
            location = Some(at);
        }
        self.arrows += 1;
        let id = self.arrows;
        let ns = self.time(track, ns);
        if !enclosed {
            self.open(track, ns, "wake", name).end()?;
        }
        let line = self.out.event("s", track, ns);
        line.text("cat", "wake").text("name", name).field("id", id);
        let queue = match queue {
            Some(Queue::Next) => "runnext",
            Some(Queue::Local) => "local",
            Some(Queue::Global) => "global",
            None => "made",
        };
        line.arg("g", g).arg_text("queue", queue);
        if let Some(at) = location {
            line.arg_text("location", &escaped(&at.to_string()));
        }
        line.end()?;
        if !enclosed {
            self.close(track, ns).end()?;
        }
        if let Some(state) = self.gs.get_mut(&g) {
            state.arrow = Some((id, name));
        }
        Ok(())
    }

    /// An M has got the P.
    fn take_up(&mut self, p: u32, ns: u64, m: u32) -> io::Result<()> {
        let line = self.instant(p_track(p), ns, "sched", "P started");
        line.arg("m", m.into()).end()?;
        self.take_up_quietly(p, ns, m)
    }

    /// As [`take_up`](Render::take_up), if that is not known already.
    fn take_up_quietly(&mut self, p: u32, ns: u64, m: u32) -> io::Result<()> {
        let before = std::mem::replace(&mut self.p(p)?.m, m);
        let has = |m: Option<&MState>| m.is_some_and(|m| m.open.contains(&Slice::Has(p)));
        if before == m && has(self.ms.get(&m)) {
            return Ok(());
        }
        if before != m {
            self.pop(before, ns, |slice| slice == Slice::Has(p))?;
        }
        self.name_m(m, true)?;
        let other = |slice| matches!(slice, Slice::Asleep | Slice::Has(_) | Slice::Without(_));
        self.pop(m, ns, other)?;
        self.push(m, ns, Slice::Has(p))
    }

    /// The P's M gives it up.
    fn give_up(&mut self, p: u32, ns: u64, name: &str, m: u32) -> io::Result<()> {
        self.leave(p, ns, "handed off")?;
        let line = self.instant(p_track(p), ns, "sched", name);
        line.arg("m", m.into()).end()
    }

    /// The P is no longer with its M.
    fn leave(&mut self, p: u32, ns: u64, how: &str) -> io::Result<()> {
        self.end_turn(p, ns, how, WaitReason::None)?;
        let m = std::mem::take(&mut self.p(p)?.m);
        self.pop(m, ns, |slice| slice == Slice::Has(p))
    }

    /// sysmon has taken the P from a goroutine, which goes on.
    fn took(&mut self, p: u32, ns: u64, m: u32, g: u64, why: &str) -> io::Result<()> {
        self.leave(p, ns, "taken")?;
        self.pop(m, ns, |slice| slice == Slice::Has(p))?;
        self.push(m, ns, Slice::Without(g))?;
        let line = self.instant(p_track(p), ns, "sysmon", "took P");
        line.arg("m", m.into())
            .arg("g", g)
            .arg_text("why", why)
            .end()
    }

    /// A goroutine that went on without a P gives its M back.
    fn end_without(
        &mut self,
        m: u32,
        ns: u64,
        g: u64,
        how: &str,
        why: WaitReason,
    ) -> io::Result<()> {
        self.pop(m, ns, |slice| slice == Slice::Blocking(g))?;
        let state = self.ms.entry(m).or_default();
        match state.open.pop_if(|slice| *slice == Slice::Without(g)) {
            Some(_) => self.close_turn(m_track(m), ns, how, why),
            None => Ok(()),
        }
    }

    /// Ends the slice of a goroutine's turn.
    fn close_turn(&mut self, track: Track, ns: u64, how: &str, why: WaitReason) -> io::Result<()> {
        let line = self.close(track, ns);
        line.arg_text("end", how);
        if why != WaitReason::None {
            line.arg_text("reason", why.as_str());
        }
        line.end()
    }

    /// Opens a slice on an M's track.
    fn push(&mut self, m: u32, ns: u64, slice: Slice) -> io::Result<()> {
        let state = self.ms.entry(m).or_default();
        if m == 0 || state.open.contains(&slice) {
            return Ok(());
        }
        state.open.push(slice);
        self.open_slice(m, ns, slice)
    }

    fn open_slice(&mut self, m: u32, ns: u64, slice: Slice) -> io::Result<()> {
        let track = m_track(m);
        match slice {
            Slice::Has(p) => {
                let line = self.open(track, ns, "proc", &format!("P{p}"));
                line.arg("p", p.into()).end()
            }
            Slice::Spinning => self.open(track, ns, "spin", "spinning").end(),
            Slice::Asleep => self.open(track, ns, "asleep", "asleep").end(),
            Slice::Polled => self.open(track, ns, "poll", "poll").end(),
            Slice::Blocking(g) => {
                let name = format!("blocking {}", self.label(g));
                self.open(track, ns, "block", &name).arg("g", g).end()
            }
            Slice::Without(g) => {
                let name = format!("{} without a P", self.label(g));
                self.open(track, ns, "nop", &name).arg("g", g).end()
            }
        }
    }

    /// Ends a slice of an M's track, and those of its that can't outlast it; others that are open within it go on.
    fn pop(&mut self, m: u32, ns: u64, which: impl Fn(Slice) -> bool) -> io::Result<()> {
        let Some(state) = self.ms.get_mut(&m) else {
            return Ok(());
        };
        let Some(at) = state.open.iter().position(|&slice| which(slice)) else {
            return Ok(());
        };
        let above = state.open.split_off(at);
        for _ in &above {
            self.close(m_track(m), ns).end()?;
        }
        for &slice in &above[1..] {
            if matches!(slice, Slice::Blocking(_) | Slice::Without(_)) && !which(slice) {
                self.push(m, ns, slice)?;
            }
        }
        Ok(())
    }

    /// The state of a P when the trace began: its M, and the goroutine that this one ran.
    pub(super) fn begin(&mut self, p: u32, m: u32, g: Option<u64>) -> io::Result<()> {
        self.take_up_quietly(p, 0, m)?;
        match g {
            Some(g) => self.turn(p, 0, g, "already running"),
            None => Ok(()),
        }
    }

    /// The lengths of the queues, the global one first.
    pub(super) fn queues(&mut self, ns: u64, global: usize, ps: &[usize]) -> io::Result<()> {
        let line = self.out.event("C", Track { pid: PS, tid: 0 }, ns);
        line.text("name", "queues").arg("global", global as u64);
        for (p, len) in ps.iter().enumerate() {
            line.arg(&format!("P{p}"), *len as u64);
        }
        line.end()
    }

    /// So many events were lost.
    pub(super) fn dropped(&mut self, ns: u64, n: u64) -> io::Result<()> {
        self.instant(OTHERS, ns, "trace", "dropped")
            .arg("n", n)
            .end()
    }

    /// Passes on what there is.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The trace is over: ends what is open, says how it was, and returns how many bytes there are.
    pub(super) fn finish(&mut self, ns: u64, events: u64, dropped: u64) -> io::Result<u64> {
        let ns = ns.max(self.latest);
        for p in 0..self.ps.len() as u32 {
            self.end_past(p, ns)?;
            self.end_turn(p, ns, "trace ended", WaitReason::None)?;
        }
        let mut ms: Vec<u32> = self.ms.keys().copied().collect();
        ms.sort_unstable();
        for m in ms {
            while self.ms.get(&m).is_some_and(|m| !m.open.is_empty()) {
                let state = self.ms.get_mut(&m).expect("it has just been there");
                state.open.pop();
                self.close(m_track(m), ns).end()?;
            }
        }
        self.count(ns)?;
        let line = self.instant(OTHERS, ns, "trace", "summary");
        line.arg("events", events)
            .arg("dropped", dropped)
            .arg("duration_us", ns / 1000)
            .end()?;
        self.out.finish()
    }
}
