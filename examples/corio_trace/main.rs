//! What an execution trace tells, as tables: `cargo run --release --example corio-trace -- FILE`.
//!
//! `CORIO_TRACE=FILE program` makes the file, or `corio::trace::start`. It can be looked at in
//! <https://ui.perfetto.dev> as well; here it is added up: how long goroutines wait in queues, run, and wait for what;
//! what the scheduler decided how often; who took most of the time.
//!
//! `read` takes the file apart, line by line, so that a large one takes no memory; `summary` adds up; `table` prints.

mod read;
mod summary;
mod table;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use read::Reader;
use summary::Summary;

/// Summarises an execution trace of corio's.
#[derive(Parser)]
#[command(name = "corio-trace")]
struct Args {
    /// The trace.
    file: PathBuf,

    /// How many goroutines are listed in each table of them.
    #[arg(long, default_value_t = 10)]
    top: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let name = args.file.display();
    let summary = match summarise(&args.file) {
        Ok(summary) => summary,
        Err(error) => {
            let _ = writeln!(io::stderr(), "corio-trace: {name}: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Who reads only the first lines wants no more.
    let _ = table::print(
        &mut io::stdout().lock(),
        &name.to_string(),
        &summary,
        args.top,
    );
    ExitCode::SUCCESS
}

fn summarise(file: &PathBuf) -> Result<Summary, read::Error> {
    let file = File::open(file).map_err(read::Error::Io)?;
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, file))?;
    let mut summary = Summary::default();
    while let Some(event) = reader.next()? {
        summary.add(&event);
    }
    summary.finish(reader.is_torn())
}
