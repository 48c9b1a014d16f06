//! Everything that is counted, as OpenMetrics text.
//!
//! The figures live elsewhere and are read when somebody asks, so this is a `Collector`: it makes its metrics on each
//! scrape. Names follow Prometheus' conventions: a prefix, base units, `_total` on counters (which the encoder adds).

use crate::server::ServerHandle;
use corio::{Counts, MachineState};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;

/// The text's content type.
pub(super) const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything, as of now.
pub(super) fn text(servers: Vec<ServerHandle>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("corio");
    registry.register_collector(Box::new(Figures { servers }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Figures {
    servers: Vec<ServerHandle>,
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        scheduler(&mut out)?;
        sockets(&mut out)?;
        servers(&mut out, &self.servers)
    }
}

/// Writes metric after metric.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn metric(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        metric: impl EncodeMetric,
    ) -> fmt::Result {
        let kind = metric.metric_type();
        let encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        metric.encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        self.metric(name, help, None, ConstGauge::new(value as i64))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.metric(name, help, None, ConstCounter::new(value))
    }

    fn bytes(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.metric(name, help, Some(&Unit::Bytes), ConstCounter::new(value))
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.metric(name, help, Some(&Unit::Seconds), ConstGauge::new(value))
    }

    /// One gauge for each value of a label.
    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'l str, usize)>,
    ) -> fmt::Result {
        let mut encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (value, n) in values {
            let labels = [(label, value)];
            ConstGauge::new(n as i64).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// One counter for each value of a label.
    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'l str, u64)>,
    ) -> fmt::Result {
        let mut encoder = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, n) in values {
            let labels = [(label, value)];
            ConstCounter::new(n).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn scheduler(out: &mut Out<'_>) -> fmt::Result {
    let metrics = corio::metrics();
    out.seconds(
        "uptime",
        "Time since the runtime started",
        metrics.uptime.as_secs_f64(),
    )?;
    let g = &metrics.goroutines;
    let by_status = [
        ("running", g.running),
        ("runnable", g.runnable),
        ("waiting", g.waiting),
    ];
    out.gauges("goroutines", "Goroutines by status", "status", by_status)?;
    let in_state = |state| metrics.ms.iter().filter(|m| m.state == state).count();
    let by_state = [
        MachineState::Running,
        MachineState::Searching,
        MachineState::Blocked,
        MachineState::Burning,
        MachineState::Polling,
        MachineState::Idle,
    ]
    .map(|state| (state.as_str(), in_state(state)));
    out.gauges("threads", "Threads (Ms) by what they do", "state", by_state)?;
    let spinning = metrics.threads.spinning;
    out.gauge(
        "threads_spinning",
        "Threads that look for work at others' queues",
        spinning,
    )?;
    out.gauge("procs", "Ps in use", metrics.procs.len())?;
    out.gauge("procs_idle", "Ps without work", metrics.idle_procs)?;
    out.gauge(
        "global_queue_goroutines",
        "Goroutines in the global queue",
        metrics.global_queue,
    )?;
    let ids: Vec<String> = metrics.procs.iter().map(|p| p.id.to_string()).collect();
    let per_p = || ids.iter().map(String::as_str).zip(&metrics.procs);
    let queued = per_p().map(|(id, p)| (id, p.queued));
    out.gauges(
        "local_queue_goroutines",
        "Goroutines in the queue of a P",
        "p",
        queued,
    )?;
    let timers = per_p().map(|(id, p)| (id, p.timers));
    out.gauges("pending_timers", "Timers in the heap of a P", "p", timers)?;
    let runs = per_p().map(|(id, p)| (id, p.counts.runs));
    out.counters("proc_runs", "Goroutines switched to by a P", "p", runs)?;
    counts(out, &metrics.totals())?;
    let stacks = [
        ("in_use", metrics.stacks.in_use),
        ("pooled", metrics.stacks.pooled),
    ];
    out.gauges("stacks", "Goroutine stacks by use", "use", stacks)?;
    out.gauge(
        "stacks_mapped",
        "Stacks that there is address space for",
        metrics.stacks.mapped,
    )?;
    out.gauge(
        "stacks_trimmed",
        "Pooled stacks whose memory was given back",
        metrics.stacks.trimmed,
    )?;
    latency(out, &metrics.sched_latency)
}

fn counts(out: &mut Out<'_>, counts: &Counts) -> fmt::Result {
    for (name, help, value) in [
        ("runs", "Goroutines switched to", counts.runs),
        ("goroutines_spawned", "Goroutines spawned", counts.spawned),
        (
            "goroutines_finished",
            "Goroutines that ended",
            counts.finished,
        ),
        ("parks", "Times a goroutine parked", counts.parks),
        (
            "wakeups",
            "Goroutines and threads made ready",
            counts.wakeups,
        ),
        (
            "steals",
            "Times work was stolen from another P",
            counts.steals,
        ),
        (
            "steal_misses",
            "Times there was nothing to steal from any P",
            counts.steal_misses,
        ),
        (
            "global_gets",
            "Times goroutines were taken from the global queue",
            counts.global_gets,
        ),
        (
            "hand_offs",
            "Times a P was handed on because its thread blocked",
            counts.hand_offs,
        ),
        (
            "take_overs",
            "Times a P was taken from a goroutine that computes for long",
            counts.take_overs,
        ),
        ("polls", "Times the reactor was polled", counts.polls),
        ("timers_fired", "Timers that fired", counts.timers),
        (
            "thread_failures",
            "Times a thread could not be started",
            counts.thread_failures,
        ),
        (
            "rescues",
            "Times work was found that nobody came for",
            counts.rescues,
        ),
    ] {
        out.counter(name, help, value)?;
    }
    Ok(())
}

/// One bucket for each power of two: Prometheus adds up what lies below.
fn latency(out: &mut Out<'_>, latencies: &corio::Latencies) -> fmt::Result {
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    let mut count = 0;
    for bucket in &latencies.buckets {
        count += bucket.count;
        if bucket.upper_ns == u64::MAX {
            buckets.push((f64::INFINITY, count));
        } else if bucket.upper_ns.is_power_of_two() {
            buckets.push((bucket.upper_ns as f64 / 1e9, count));
            count = 0;
        }
    }
    let help = "How long goroutines wait in queues before they run, sampled";
    let kind = MetricType::Histogram;
    let name = "scheduling_latency";
    let mut encoder = out
        .0
        .encode_descriptor(name, help, Some(&Unit::Seconds), kind)?;
    let sum = latencies.sum.as_secs_f64();
    encoder.encode_histogram::<NoLabelSet>(sum, latencies.count(), &buckets, None)
}

fn sockets(out: &mut Out<'_>) -> fmt::Result {
    let sockets = crate::metrics();
    out.gauge("sockets", "Sockets there are", sockets.open as usize)?;
    for (name, help, value) in [
        ("sockets_opened", "Sockets made", sockets.opened),
        ("accepts", "Connections accepted", sockets.accepts),
        (
            "accept_errors",
            "Accepts that failed",
            sockets.accept_errors,
        ),
        ("connects", "Connections made to others", sockets.connects),
        (
            "connect_errors",
            "Attempts to connect that failed",
            sockets.connect_errors,
        ),
        (
            "socket_timeouts",
            "Operations ended by a timeout or deadline",
            sockets.timeouts,
        ),
        (
            "handler_panics",
            "Panics of handlers and hooks of servers",
            sockets.panics,
        ),
    ] {
        out.counter(name, help, value)?;
    }
    out.bytes("socket_read", "Bytes read from sockets", sockets.bytes_read)?;
    out.bytes(
        "socket_written",
        "Bytes written to sockets",
        sockets.bytes_written,
    )
}

fn servers(out: &mut Out<'_>, servers: &[ServerHandle]) -> fmt::Result {
    if servers.is_empty() {
        return Ok(());
    }
    let names = distinct(servers);
    let stats: Vec<_> = names
        .iter()
        .map(String::as_str)
        .zip(servers.iter().map(ServerHandle::stats))
        .collect();
    let help = "Connections of a server by state";
    let gauge = MetricType::Gauge;
    let mut encoder = out
        .0
        .encode_descriptor("server_connections", help, None, gauge)?;
    for (name, s) in &stats {
        for (state, n) in [
            ("new", s.new),
            ("active", s.active),
            ("idle", s.idle),
            ("closing", s.closing),
        ] {
            let labels = [("server", *name), ("state", state)];
            ConstGauge::new(n as i64).encode(encoder.encode_family(&labels)?)?;
        }
    }
    let accepted = stats.iter().map(|(name, s)| (*name, s.accepted));
    out.counters(
        "server_accepted",
        "Connections a server accepted",
        "server",
        accepted,
    )?;
    let refused = stats.iter().map(|(name, s)| (*name, s.refused));
    out.counters(
        "server_refused",
        "Connections accepted and not served",
        "server",
        refused,
    )?;
    let panics = stats.iter().map(|(name, s)| (*name, s.panics));
    out.counters(
        "server_panics",
        "Panics of its handlers and hooks",
        "server",
        panics,
    )?;
    let errors = stats.iter().map(|(name, s)| (*name, s.handler_errors));
    out.counters(
        "server_errors",
        "Errors returned by its handlers",
        "server",
        errors,
    )
}

/// The servers' names, which label what is theirs: the second of the same name has a number.
fn distinct(servers: &[ServerHandle]) -> Vec<String> {
    let name = |n: usize| {
        let name = servers[n].name();
        match servers[..n].iter().filter(|s| s.name() == name).count() {
            0 => name.to_owned(),
            before => format!("{name}#{}", before + 1),
        }
    };
    (0..servers.len()).map(name).collect()
}
