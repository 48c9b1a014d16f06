//! `bench run`: the rounds, interleaved.
//!
//! For each workload, variant and number of procs, the peers take turns: A B C, A B C, and so on. A
//! slow minute of the machine thus falls on all of them, and ratios are taken inside one turn. A
//! round in which something else ran is tried again, and the quietest try counts; if that was
//! disturbed as well it is marked and kept. On a machine that is never quiet trying again is of no use
//! and would double the run, so that no more than one round in ten is.
//!
//! Where a peer runs: with fewer procs than there are CPUs, on the first `procs` of them, and the
//! load on the next one; with as many or more, nothing is pinned. A peer that does not have a
//! workload is asked once and passed over; one that fails is reported, passed over for the rest of
//! the rounds, and makes the run end with status 1.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::catalog::{self, Case, Drive, Load, Workload};
use crate::cli::RunArgs;
use crate::compare::Comparison;
use crate::disturb::{Disturbance, Watch};
use crate::measure::{Outcome, Sample, Setting, measure};
use crate::peers::{self, Peer, Search};
use crate::process::{allowed_cpus, raise_descriptors};
use crate::report::{PASSED_OVER, Report};
use crate::{html, machine, syscalls, wrk};

/// A workload and the variants of it that are asked for.
pub(crate) type Chosen = (&'static Workload, Vec<Case>);

/// The workloads and variants that the command line asks for.
pub(crate) fn chosen(args: &RunArgs) -> io::Result<Vec<Chosen>> {
    let mut chosen = Vec::new();
    for workload in catalog::chosen(&args.workloads).map_err(io::Error::other)? {
        let mut cases = (workload.cases)(args.quick);
        if let Some(text) = &args.variant {
            cases.retain(|case| case.variant.contains(text));
        }
        if let Some((name, values)) = &args.sweep {
            let mut swept = Vec::new();
            for case in &cases {
                for value in values.split(',') {
                    swept.push(catalog::sweep(case, name, value).map_err(io::Error::other)?);
                }
            }
            cases = swept;
        }
        if !cases.is_empty() {
            chosen.push((workload, cases));
        }
    }
    if chosen.is_empty() {
        return Err(io::Error::other(
            "no variant has that in its name; see `bench list`",
        ));
    }
    Ok(chosen)
}

/// The peers that the command line asks for; a note for each that is missing.
pub(crate) fn search(args: &RunArgs, frame_pointers: bool) -> io::Result<peers::Found> {
    let dir = args.peer_dir.as_deref();
    peers::find(&Search {
        names: &args.peers,
        own: &args.peer,
        dir,
        frame_pointers,
    })
}

/// The numbers of procs that the command line asks for.
pub(crate) fn procs(args: &RunArgs) -> Vec<usize> {
    let mut procs = if args.procs.is_empty() {
        vec![1, allowed_cpus().len()]
    } else {
        args.procs.clone()
    };
    procs.retain(|procs| *procs > 0);
    procs.dedup();
    procs
}

/// How it is measured with so many procs.
pub(crate) fn setting(args: &RunArgs, procs: usize) -> Setting {
    let cpus = allowed_cpus();
    let pinned = !args.no_pin && procs < cpus.len();
    let seconds = args.seconds.unwrap_or(if args.quick { 0.2 } else { 0.7 });
    let window = Duration::from_secs_f64(seconds.clamp(0.05, 3600.0));
    Setting {
        procs,
        server_cpus: pinned.then(|| cpus[..procs].to_vec()),
        client_cpus: pinned.then(|| vec![cpus[procs]]),
        window,
        stretch: !args.quick && args.seconds.is_none(),
        patience: Duration::from_secs(if args.quick { 30 } else { 300 }),
    }
}

fn rounds(args: &RunArgs) -> usize {
    args.runs.unwrap_or(if args.quick { 1 } else { 7 }) as usize
}

fn retries(args: &RunArgs) -> u32 {
    args.retries.unwrap_or(if args.quick { 0 } else { 1 })
}

/// Says how the run is made, for those who read its figures.
fn method(args: &RunArgs) -> String {
    let window = setting(args, 1).window.as_secs_f64();
    let pinning = if args.no_pin {
        "nothing pinned"
    } else {
        "peer pinned to the first CPUs and load to the next while there are more CPUs than procs"
    };
    format!(
        "{}, peers interleaved, network windows of {window} s{}; {pinning}; ratios are medians \
         of ratios inside a round{}",
        match rounds(args) {
            1 => "one round".to_owned(),
            n => format!("{n} rounds"),
        },
        if setting(args, 1).stretch {
            ", longer where a variant needs it"
        } else {
            ""
        },
        if args.quick {
            "; quick: sizes too small to judge"
        } else {
            ""
        }
    )
}

/// `bench run`.
pub(crate) fn command(args: &RunArgs) -> io::Result<ExitCode> {
    let chosen = chosen(args)?;
    // Before the long work, not after it.
    let baseline = args.baseline.as_deref().map(Report::load).transpose()?;
    let found = search(args, false)?;
    raise_descriptors();
    let mut runner = Runner {
        report: Report::new(machine::describe(), method(args)),
        bar: ProgressBar::new(0),
        args,
        retried: 0,
        failed: false,
    };
    for line in found.missing {
        runner.note(line);
    }
    runner.run(&chosen, &found.peers)?;
    let Runner { report, failed, .. } = runner;
    if let Some(path) = &args.json {
        report.save(path)?;
    }
    if let Some(path) = &args.html {
        html::write(&report, path)?;
    }
    let mut worse = 0;
    if let Some(baseline) = baseline {
        let comparison = Comparison::of(&baseline, &report);
        print!("{}", comparison.text(false));
        worse = comparison.worse();
    }
    Ok(if failed || worse > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

struct Runner<'a> {
    args: &'a RunArgs,
    report: Report,
    bar: ProgressBar,
    /// Rounds that were tried again so far.
    retried: u64,
    failed: bool,
}

/// What a peer has done so far in one form of one workload.
#[derive(Default)]
struct Lane {
    /// Of each flavour and metric, the figure of each round.
    figures: BTreeMap<(Option<String>, String), Vec<Option<f64>>>,
    disturbed: usize,
    over: bool,
}

impl Lane {
    fn add(&mut self, round: usize, samples: Vec<Sample>) {
        for Sample {
            flavour,
            metric,
            value,
        } in samples
        {
            let rounds = self.figures.entry((flavour, metric)).or_default();
            rounds.resize(round, None);
            rounds.push(Some(value));
        }
    }
}

impl Runner<'_> {
    /// Goes into the report and to the user.
    fn note(&mut self, line: String) {
        self.bar.suspend(|| eprintln!("{line}"));
        self.report.notes.push(line);
    }

    fn run(&mut self, chosen: &[Chosen], peers: &[Peer]) -> io::Result<()> {
        let procs = procs(self.args);
        let steps: usize = chosen
            .iter()
            .map(|(workload, cases)| cases.len() * takers(workload, peers).len())
            .sum::<usize>()
            * procs.len()
            * rounds(self.args);
        eprintln!(
            "{steps} rounds: {} of each peer in each variant with {} procs",
            rounds(self.args),
            procs
                .iter()
                .map(usize::to_string)
                .collect::<Vec<_>>()
                .join(" and ")
        );
        self.bar = ProgressBar::new(steps as u64);
        if let Ok(style) =
            ProgressStyle::with_template("{elapsed} [{bar:20}] {pos}/{len}, {eta} left: {wide_msg}")
        {
            self.bar.set_style(style.progress_chars("=> "));
        }
        for (workload, cases) in chosen {
            let from = self.report.results.len();
            let takers = takers(workload, peers);
            for procs in &procs {
                let setting = setting(self.args, *procs);
                for case in cases {
                    let needs_wrk = matches!(
                        case.drive,
                        Drive::Served {
                            load: Load::Http { wrk: true, .. },
                            ..
                        }
                    );
                    if needs_wrk && !wrk::found() {
                        self.bar.inc((takers.len() * rounds(self.args)) as u64);
                        self.note(format!(
                            "{}, {}: passed over, there is no wrk",
                            workload.name, case.variant
                        ));
                        continue;
                    }
                    self.case(workload.name, case, &takers, &setting);
                }
            }
            let text = self.report.text_from(from);
            self.bar.suspend(|| print!("{text}"));
            if self.bar.is_hidden() {
                self.say_how_far();
            }
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    /// What the bar says, where there is no terminal for one.
    fn say_how_far(&self) {
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let elapsed = self.bar.elapsed();
        let left = elapsed.mul_f64(all.saturating_sub(done) as f64 / done.max(1) as f64);
        eprintln!(
            "{done} of {all} rounds after {}, about {} left",
            HumanDuration(elapsed),
            HumanDuration(left)
        );
    }

    fn case(&mut self, workload: &str, case: &Case, takers: &[&Peer], setting: &Setting) {
        let what = format!("{workload}, {}, procs {}", case.variant, setting.procs);
        let mut lanes: Vec<Lane> = takers.iter().map(|_| Lane::default()).collect();
        for round in 0..rounds(self.args) {
            for (peer, lane) in takers.iter().zip(&mut lanes) {
                self.bar
                    .set_message(format!("{what}: {} round {}", peer.name, round + 1));
                if !lane.over {
                    self.round(round, peer, lane, &what, |peer| {
                        measure(peer, workload, case, setting)
                    });
                }
                self.bar.inc(1);
            }
        }
        for (peer, lane) in takers.iter().zip(lanes) {
            for ((flavour, metric), mut figures) in lane.figures {
                let name = match flavour {
                    Some(flavour) => format!("{}/{flavour}", peer.name),
                    None => peer.name.clone(),
                };
                figures.resize(rounds(self.args), None);
                let disturbed = lane.disturbed;
                let row = (workload, case.variant.as_str(), name.as_str());
                self.report
                    .add(row, setting.procs, &metric, figures, disturbed);
            }
        }
        if self.args.syscalls {
            self.syscalls(workload, case, takers, setting);
        }
    }

    /// One round of one peer: as many tries as it takes, up to a limit, to be left alone.
    fn round(
        &mut self,
        round: usize,
        peer: &Peer,
        lane: &mut Lane,
        what: &str,
        measure: impl Fn(&Peer) -> Outcome,
    ) {
        let mut best: Option<(Disturbance, Vec<Sample>)> = None;
        for attempt in 0..=retries(self.args) {
            if attempt > 0 {
                if !may_retry(self.bar.position(), self.retried) {
                    break;
                }
                self.retried += 1;
            }
            let watch = Watch::begin();
            let outcome = measure(peer);
            let disturbance = watch.end();
            match outcome {
                Outcome::Measured(samples, version) => {
                    if let Some(version) = version {
                        self.report
                            .machine
                            .versions
                            .insert(peer.name.clone(), version);
                    }
                    if best
                        .as_ref()
                        .is_none_or(|(least, _)| disturbance.degree() < least.degree())
                    {
                        best = Some((disturbance, samples));
                    }
                    if !disturbance.disturbed() {
                        break;
                    }
                }
                Outcome::Absent(why) => {
                    lane.over = true;
                    self.report
                        .notes
                        .push(format!("{what}: {}{PASSED_OVER}{why}", peer.name));
                    return;
                }
                Outcome::Failed(why) => {
                    lane.over = true;
                    self.failed = true;
                    self.note(format!("{what}: {}: FAILED: {why}", peer.name));
                    break;
                }
            }
        }
        if let Some((disturbance, samples)) = best {
            lane.disturbed += usize::from(disturbance.disturbed());
            lane.add(round, samples);
        }
    }

    fn syscalls(&mut self, workload: &str, case: &Case, takers: &[&Peer], setting: &Setting) {
        for peer in takers {
            match syscalls::count(peer, workload, case, setting) {
                Ok(Some(counted)) => {
                    let row = (workload, case.variant.as_str(), peer.name.as_str());
                    let figures = vec![Some(counted.total)];
                    self.report
                        .add(row, setting.procs, counted.metric, figures, 0);
                    self.note(format!(
                        "{workload}, {}, procs {}: {}: system calls: {}",
                        case.variant, setting.procs, peer.name, counted.names
                    ));
                }
                Ok(None) => {}
                Err(error) => {
                    self.note(format!(
                        "{workload}: {}: system calls not counted: {error}",
                        peer.name
                    ));
                }
            }
        }
    }
}

/// Whether a round may be tried again, after so many of which so many were.
fn may_retry(done: u64, retried: u64) -> bool {
    retried < 5 + done / 10
}

/// The peers that have the workload.
fn takers<'a>(workload: &Workload, peers: &'a [Peer]) -> Vec<&'a Peer> {
    let has = |peer: &&Peer| peer.own || workload.peers.contains(&peer.name.as_str());
    peers.iter().filter(has).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_again_stays_a_small_part_of_a_run() {
        let mut retried = 0;
        for done in 0..1000 {
            retried += u64::from(may_retry(done, retried));
        }
        assert_eq!(retried, 5 + 99);
    }

    #[test]
    fn figures_keep_to_their_rounds() {
        let mut lane = Lane::default();
        let sample = |value| Sample {
            flavour: None,
            metric: "ns_per_op".into(),
            value,
        };
        lane.add(0, vec![sample(1.0)]);
        // Round 1 failed.
        lane.add(2, vec![sample(3.0)]);
        let figures = lane.figures.values().next().unwrap();
        assert_eq!(figures, &[Some(1.0), None, Some(3.0)]);
    }
}
