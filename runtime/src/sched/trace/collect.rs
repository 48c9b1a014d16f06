//! The collector: a thread that takes events out of the rings and has them written.
//!
//! It makes passes. Each sets a mark (`timeline`), empties the rings and the list of those without a P, and
//! shows, in the order of their stamps, all events that are older than the mark before. By then whoever recorded one
//! has long put it into its ring, unless the system has stopped that thread in between; such an event is shown late, at
//! the time to which its track has come (`render`).
//!
//! Its threads' time is the program's. So it sleeps for [`PAUSE`] between passes, unless a ring fills faster.

use super::render::{Render, Source};
use super::timeline::Timeline;
use super::{Control, Opening, TraceSummary};
use crate::prim::trace::{self, Event, Kind, Unowned, When};
use crate::sched::Sched;
use crate::sched::p::P;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Between two passes; a third of the time in which busy servers fill a ring.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two passes if there was much.
const HURRY: Duration = Duration::from_millis(1);
/// So many events of one P are much.
const MUCH: u64 = 4096;

/// An event that waits to be shown.
struct Item {
    ticks: i64,
    source: Source,
    event: Event,
}

/// What is known of a P.
#[derive(Default)]
struct Feed {
    /// Events whose time is the next one's.
    soon: Vec<Event>,
    last: i64,
    dropped: u64,
}

/// See the module's head.
pub(super) struct Collector<W> {
    sched: &'static Sched,
    render: Render<W>,
    timeline: Timeline,
    feeds: Vec<Feed>,
    /// What each P had dropped before the trace.
    dropped_before: Vec<u64>,
    unowned: Vec<Unowned>,
    items: Vec<Item>,
    events: u64,
    dropped: u64,
}

impl<W: Write> Collector<W> {
    /// Shows how everything stood when the trace began.
    pub(super) fn new(
        sched: &'static Sched,
        writer: W,
        opening: &Opening,
    ) -> io::Result<Collector<W>> {
        let mut render = Render::new(writer)?;
        for &(m, worker) in &opening.ms {
            render.name_m(m, worker)?;
        }
        for g in &opening.goroutines {
            render.exists(g.id, g.name.as_deref(), g.location)?;
        }
        for &(p, m, g) in &opening.ps {
            render.begin(p, m, g)?;
        }
        Ok(Collector {
            sched,
            render,
            timeline: opening.timeline(),
            feeds: Vec::new(),
            dropped_before: opening.dropped.clone(),
            unowned: Vec::new(),
            items: Vec::new(),
            events: 0,
            dropped: 0,
        })
    }

    /// Until the trace is stopped.
    pub(super) fn run(mut self, control: &Control) -> io::Result<TraceSummary> {
        let mut pause = PAUSE;
        loop {
            let over = control.wait(pause);
            let most = self.pass(over)?;
            if over {
                return self.finish();
            }
            pause = if most > MUCH { HURRY } else { PAUSE };
        }
    }

    /// One pass; the last one shows everything. Returns how many events the busiest P had.
    fn pass(&mut self, last: bool) -> io::Result<u64> {
        let before = self.timeline.mark();
        let until = if last { i64::MAX } else { before };
        let mut most = 0;
        let mut dropped = 0;
        for (n, p) in self.sched.all_ps().enumerate() {
            if self.feeds.len() == n {
                self.feeds.push(Feed {
                    dropped: self.dropped_before.get(n).copied().unwrap_or(0),
                    ..Feed::default()
                });
                // It may be a new one.
                p.events.provide();
            }
            let feed = &mut self.feeds[n];
            most = most.max(feed.read(p, &self.timeline, &mut self.items));
            if last {
                feed.end(p, self.timeline.now_ticks(), &mut self.items);
            }
            dropped += feed.lost(p);
        }
        dropped += trace::take_unowned(&mut self.unowned);
        for Unowned { at, m, event } in self.unowned.drain(..) {
            self.items.push(Item {
                ticks: self.timeline.ticks(at),
                source: Source::M(m),
                event,
            });
        }
        // After the events, so that who has run has its name.
        for (g, name) in super::take_names() {
            self.render.name(g, name);
        }
        self.show(until)?;
        if dropped > 0 {
            self.dropped += dropped;
            self.render.dropped(self.timeline.now(), dropped)?;
        }
        let ps = self.sched.all_ps().take(self.sched.procs() as usize);
        let ps: Vec<usize> = ps.map(P::queued).collect();
        let global = self.sched.global.len();
        self.render.queues(self.timeline.now(), global, &ps)?;
        self.render.flush()?;
        Ok(most)
    }

    /// Shows the events up to `until`; those of before the trace are none of it.
    fn show(&mut self, until: i64) -> io::Result<()> {
        // Runs of sorted ones, which is what the sort is fast at. It keeps the order of equal ones.
        self.items.sort_by_key(|item| item.ticks);
        let n = self.items.partition_point(|item| item.ticks <= until);
        for Item {
            ticks,
            source,
            event,
        } in self.items.drain(..n)
        {
            if ticks < 0 {
                continue;
            }
            self.events += 1;
            let ns = self.timeline.ns(ticks);
            let dur = match event.kind {
                Kind::Poll | Kind::PollBlocking | Kind::Timers => {
                    ns.saturating_sub(self.timeline.ns(ticks.saturating_sub_unsigned(event.b)))
                }
                _ => 0,
            };
            self.render.show(source, ns, dur, event)?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<TraceSummary> {
        let now = self.timeline.now();
        let bytes = self.render.finish(now, self.events, self.dropped)?;
        Ok(TraceSummary {
            events: self.events,
            dropped: self.dropped,
            bytes,
            duration: Duration::from_nanos(now),
        })
    }
}

impl Feed {
    /// Takes what the P's ring holds; returns how much that was.
    fn read(&mut self, p: &P, timeline: &Timeline, items: &mut Vec<Item>) -> u64 {
        let source = Source::P(p.id);
        let end = p.events.end();
        let mut n = 0;
        p.events.drain(end, |words| {
            n += 1;
            let Some((when, event)) = Event::unpack(words) else {
                return;
            };
            match when {
                When::Soon => self.soon.push(event),
                When::At(stamp) => {
                    let ticks = timeline.ticks(stamp);
                    if ticks < 0 {
                        // Of the last trace, recorded when that was over.
                        self.soon.clear();
                        return;
                    }
                    // Its next owner's processor may be some ticks behind.
                    self.last = ticks.max(self.last);
                    let ticks = self.last;
                    let events = self.soon.drain(..).chain([event]);
                    items.extend(events.map(|event| Item {
                        ticks,
                        source,
                        event,
                    }));
                }
            }
        });
        n
    }

    /// There will be no next event that would say when the last ones were: it must have been just now.
    fn end(&mut self, p: &P, ticks: i64, items: &mut Vec<Item>) {
        let ticks = ticks.max(self.last);
        items.extend(self.soon.drain(..).map(|event| Item {
            ticks,
            source: Source::P(p.id),
            event,
        }));
    }

    /// How many events were dropped since the last time.
    fn lost(&mut self, p: &P) -> u64 {
        let dropped = p.events.dropped();
        dropped - std::mem::replace(&mut self.dropped, dropped)
    }
}

/// Runs a collector, on its thread.
pub(super) fn collect<W: Write>(
    sched: &'static Sched,
    writer: W,
    opening: &Opening,
    control: &Arc<Control>,
) -> io::Result<TraceSummary> {
    Collector::new(sched, writer, opening)?.run(control)
}
