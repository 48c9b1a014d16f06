//! From the command line to the line of JSON.

use std::fmt::Display;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use serde_json::json;

use crate::args::Args;
use crate::serve;

/// The figures of one metric, one for each round.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which form of the workload it was.
    pub variant: String,
    /// With what, if the peer has several ways; the usual one has no name.
    pub flavour: Option<&'static str>,
    /// What was measured; the unit is part of the name.
    pub metric: &'static str,
    /// One figure for each round, in order.
    pub values: Vec<f64>,
}

/// Why there are no figures.
#[derive(Debug)]
pub enum Failure {
    /// The peer does not have this workload, or not so large, or not with this option: exit status 3.
    Absent(String),
    /// It went wrong: exit status 1.
    Wrong(String),
}

impl Failure {
    /// For a workload that the peer does not have.
    pub fn absent(what: impl Display) -> Failure {
        Failure::Absent(format!("does not have {what}"))
    }
}

impl<E: Display> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Wrong(error.to_string())
    }
}

/// Gives all the rows that flavour, the variant being that of the others.
pub fn flavoured(mut rows: Vec<Row>, flavour: &'static str) -> Vec<Row> {
    for row in &mut rows {
        row.flavour = Some(flavour);
    }
    rows
}

/// What a workload returns.
pub type Outcome = Result<Vec<Row>, Failure>;

/// Exit status for a workload or an option that the peer does not have.
const ABSENT: u8 = 3;

/// The whole program of a peer: reads the command line, does the workload, prints its figures.
///
/// Must be called first in `main`, before there are threads.
pub fn run(peer: &str, version: &str, workload: impl FnOnce(&Args) -> Outcome) -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Where not even this can be printed, the status has to do.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::UnknownArgument => ExitCode::from(ABSENT),
                _ => ExitCode::from(error.exit_code() as u8),
            };
        }
    };
    serve::prepare(&args);
    match workload(&args) {
        Ok(rows) => {
            let results: Vec<_> = rows
                .iter()
                .map(|row| {
                    let mut line = json!({
                        "variant": row.variant,
                        "metric": row.metric,
                        "values": row.values,
                    });
                    if let Some(flavour) = row.flavour {
                        line["flavour"] = flavour.into();
                    }
                    line
                })
                .collect();
            let line = json!({
                "workload": args.workload,
                "peer": peer,
                "procs": args.procs,
                "version": version,
                "params": params(),
                "results": results,
                "verified": true,
            });
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(Failure::Absent(what)) => {
            eprintln!("peer-{peer}: {what}");
            ExitCode::from(ABSENT)
        }
        Err(Failure::Wrong(what)) => {
            eprintln!("peer-{peer}: {}: {what}", args.workload);
            ExitCode::FAILURE
        }
    }
}

/// The options as they were given: `--min-ms 10` is `"min-ms": "10"`.
fn params() -> serde_json::Map<String, serde_json::Value> {
    let mut params = serde_json::Map::new();
    let mut words = std::env::args().skip(2).peekable();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--") else {
            continue;
        };
        let value = match name.split_once('=') {
            Some((_, value)) => value.to_owned(),
            None => words
                .next_if(|next| !next.starts_with("--"))
                .unwrap_or_default(),
        };
        let name = name.split('=').next().unwrap_or(name);
        let value = serde_json::from_str::<serde_json::Number>(&value)
            .map_or(serde_json::Value::String(value), serde_json::Value::Number);
        params.insert(name.replace('-', "_"), value);
    }
    params
}
