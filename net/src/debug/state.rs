//! The scheduler as of now, in JSON: what the live page draws.

use crate::debug::json::Json;
use crate::server::ServerHandle;
use corio::{Counts, MachineState, Metrics};

/// The text.
pub(super) fn json(servers: &[ServerHandle]) -> String {
    let (metrics, sockets) = (corio::metrics(), crate::metrics());
    Json::object(|j| {
        j.plain("uptime", metrics.uptime.as_secs_f64());
        j.plain("pid", std::process::id());
        j.plain("tracing", corio::trace::is_running());
        scheduler(j, &metrics);
        j.member("sockets", |j| {
            j.plain("open", sockets.open);
            j.plain("accepts", sockets.accepts);
            j.plain("read", sockets.bytes_read);
            j.plain("written", sockets.bytes_written);
        });
        j.items("servers", |j| {
            for server in servers {
                let stats = server.stats();
                j.object_item(|j| {
                    j.text("name", server.name());
                    j.plain("open", stats.open());
                    j.plain("active", stats.active);
                    j.plain("idle", stats.idle);
                    j.plain("shutting_down", server.is_shutting_down());
                });
            }
        });
    })
}

fn scheduler(j: &mut Json, metrics: &Metrics) {
    j.items("ps", |j| {
        for p in &metrics.procs {
            j.object_item(|j| {
                j.plain("id", p.id);
                j.text("state", p.state.as_str());
                j.maybe("m", p.m);
                j.maybe("g", p.goroutine);
                j.maybe("runnext", p.runnext);
                j.plain("queued", p.queued);
                j.plain("timers", p.timers);
                j.plain("tick", p.tick);
                j.plain("runs", p.counts.runs);
            });
        }
    });
    j.items("ms", |j| {
        for m in &metrics.ms {
            j.object_item(|j| {
                j.plain("id", m.id);
                j.plain("tid", m.tid);
                j.text("state", m.state.as_str());
                j.maybe("p", m.p);
                j.maybe("g", m.goroutine);
                j.plain("locked", m.locked);
            });
        }
    });
    let polls = metrics.ms.iter().find(|m| m.state == MachineState::Polling);
    j.maybe("poller", polls.map(|m| m.id));
    j.plain("global_queue", metrics.global_queue);
    j.plain("idle_ps", metrics.idle_procs);
    j.plain("spinning", metrics.threads.spinning);
    j.member("goroutines", |j| {
        j.plain("running", metrics.goroutines.running);
        j.plain("runnable", metrics.goroutines.runnable);
        j.plain("waiting", metrics.goroutines.waiting);
    });
    j.member("stacks", |j| {
        j.plain("in_use", metrics.stacks.in_use);
        j.plain("pooled", metrics.stacks.pooled);
    });
    let latency = |share| {
        metrics
            .sched_latency
            .quantile(share)
            .map(|d| d.as_secs_f64())
    };
    j.member("latency", |j| {
        j.maybe("p50", latency(0.5));
        j.maybe("p99", latency(0.99));
    });
    j.member("totals", |j| counts(j, &metrics.totals()));
}

fn counts(j: &mut Json, counts: &Counts) {
    j.plain("runs", counts.runs);
    j.plain("spawned", counts.spawned);
    j.plain("wakeups", counts.wakeups);
    j.plain("steals", counts.steals);
    j.plain("hand_offs", counts.hand_offs);
    j.plain("take_overs", counts.take_overs);
    j.plain("polls", counts.polls);
    j.plain("global_gets", counts.global_gets);
    j.plain("timers", counts.timers);
}
