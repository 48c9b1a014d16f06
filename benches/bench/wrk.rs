//! HTTP load by `wrk`, and a look at one answer by ourselves.
//!
//! wrk checks the status of every answer but not what is in it; so one answer is read here, byte for
//! byte as far as the body goes, before wrk begins. wrk's own percentiles stop at 99, which is why
//! a script prints the figures.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::load::{Latency, LoadResult};
use crate::process::{Running, which};

const SCRIPT: &str = r#"
local depth = tonumber(os.getenv("CORIO_BENCH_DEPTH")) or 1
local batch
init = function(args)
  local one = wrk.format("GET", "/plaintext")
  batch = string.rep(one, depth)
end
request = function() return batch end
done = function(summary, latency, requests)
  local e = summary.errors
  print(string.format(
    '{"requests":%d,"micros":%d,"wrong":%d,"p50":%d,"p90":%d,"p99":%d,"p999":%d,"max":%d,"mean":%f}',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency:percentile(99.9), latency.max, latency.mean))
end
"#;

/// What every answer carries.
const BODY: &str = "Hello, World!";

#[derive(Debug, Deserialize)]
struct Figures {
    requests: u64,
    micros: f64,
    wrong: u64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
    mean: f64,
}

/// Whether wrk is installed.
pub(crate) fn found() -> bool {
    which("wrk").is_some()
}

/// Asks once and looks at the whole answer.
pub(crate) fn verify(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /plaintext HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let (mut answer, mut part) = (Vec::new(), [0; 1024]);
    let whole = |answer: &[u8]| {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        end.is_some_and(|end| answer.len() >= end + 4 + BODY.len())
    };
    while !whole(&answer) {
        match stream.read(&mut part)? {
            0 => break,
            n => answer.extend_from_slice(&part[..n]),
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let head = head.to_ascii_lowercase();
    let right = head.starts_with("http/1.1 200 ")
        && head.contains("\r\ncontent-length: 13")
        && head.contains("\r\ncontent-type: text/plain")
        && body == BODY;
    if right {
        Ok(())
    } else {
        Err(io::Error::other(format!("wrong answer: {text:?}")))
    }
}

/// Runs wrk for some whole seconds.
pub(crate) fn run(
    addr: SocketAddr,
    connections: usize,
    depth: usize,
    seconds: u64,
    cpus: Option<&[usize]>,
) -> io::Result<LoadResult> {
    let script = script()?;
    let mut command = Command::new("wrk");
    command
        .args([
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{seconds}s"),
            "-s",
        ])
        .arg(&script)
        .arg(format!("http://{addr}/plaintext"))
        .env("CORIO_BENCH_DEPTH", depth.to_string());
    let until = Instant::now() + Duration::from_secs(seconds + 20);
    let running = Running::start(&mut command, cpus)?;
    let mut figures = None;
    while let Some(line) = running.line(until)? {
        if let Ok(found) = serde_json::from_str::<Figures>(&line) {
            figures = Some(found);
        }
    }
    let (status, last) = running.end(until)?;
    let figures = figures.ok_or_else(|| io::Error::other(format!("wrk: {status}: {last}")))?;
    if figures.wrong > 0 || figures.requests == 0 {
        return Err(io::Error::other(format!("wrk: {} errors", figures.wrong)));
    }
    Ok(LoadResult {
        requests: figures.requests,
        total_requests: figures.requests,
        seconds: figures.micros / 1e6,
        latency: Latency {
            p50: figures.p50,
            p90: figures.p90,
            p99: figures.p99,
            p999: figures.p999,
            max: figures.max,
            mean: figures.mean,
        },
        per_connection: Vec::new(),
    })
}

/// The script as a file, written once by each process.
fn script() -> io::Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("corio-bench-{}.lua", std::process::id()));
    if !path.exists() {
        fs::write(&path, SCRIPT)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn answered(with: &'static str) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let mut request = [0; 1024];
            let _ = stream.read(&mut request)?;
            stream.write_all(with.as_bytes())
        });
        let verdict = verify(addr);
        server.join().expect("the server panicked")?;
        verdict
    }

    #[test]
    fn the_answer_is_looked_at() {
        let right = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";
        answered(right).unwrap();
        let wrong = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";
        assert!(answered(wrong).is_err());
        assert!(answered("HTTP/1.1 404 Not Found\r\n\r\n").is_err());
    }
}
