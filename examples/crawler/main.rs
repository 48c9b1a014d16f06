//! A crawler: fetches the pages of one site, following links, several at a time.
//!
//! `python3 -m http.server 8000` in some directory, then
//! `cargo run --release --example crawler -- http://127.0.0.1:8000/`.
//!
//! The shape is that of every bounded parallel search. A [`Group`] (Go's errgroup) has a limit on how many of its
//! goroutines run; what is known already is in a set under a lock; and all of it ends with one [`Context`]: when the time
//! is up, on Ctrl-C, or when enough has been seen. It goes level by level, so that each page is found on a shortest way.

mod url;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use corio::context::Context;
use corio::group::Group;
use corio::signal::{SIGINT, SIGTERM, notify_context};
use corio::sync::Mutex;
use corio_examples::{run, say, seconds};
use corio_net::{Conn, Dialer, with_context};
use httparse::{EMPTY_HEADER, Response, Status};
use url::{Url, links};

const MAX_HEAD: usize = 16 << 10;

/// Fetches the pages of a site, and lists them.
#[derive(Parser)]
struct Args {
    /// Where to begin: http://HOST[:PORT][/PATH].
    #[arg(value_parser = Url::parse)]
    start: Url,
    /// How many pages are fetched at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// How many links away from the first page.
    #[arg(long, default_value_t = 10)]
    depth: u32,
    /// How many pages at most.
    #[arg(long, default_value_t = 1000)]
    pages: usize,
    /// The most bytes of one page.
    #[arg(long, default_value_t = 1 << 20)]
    bytes: usize,
    /// Seconds for one page.
    #[arg(long, default_value = "10", value_parser = seconds)]
    patience: Duration,
    /// Seconds for all of it.
    #[arg(long, default_value = "60", value_parser = seconds)]
    total: Duration,
}

/// What came of a page: its status and how long it is. What stood in it has been forgotten.
struct Page {
    url: Url,
    result: io::Result<(u16, usize)>,
}

/// What is known so far. It grows with the number of pages, which is limited, and not with what strangers write.
struct Site {
    /// All that has been seen, in links too.
    known: BTreeSet<Url>,
    /// Those of the next level.
    next: Vec<Url>,
    pages: Vec<Page>,
}

fn main() -> ExitCode {
    let args = Arc::new(Args::parse());
    run("crawler", move || {
        let (ctx, _stop) = notify_context(&Context::background(), &[SIGINT, SIGTERM])?;
        let (ctx, _cancel) = ctx.with_timeout(args.total);
        let began = Instant::now();
        let mut pages = crawl(&ctx, &args);
        pages.sort_by(|a, b| a.url.cmp(&b.url));
        let (mut good, mut bytes) = (0, 0);
        for page in &pages {
            match &page.result {
                Ok((status, length)) => {
                    say!("{status} {length:>8} {}", page.url.path);
                    good += usize::from(*status == 200);
                    bytes += length;
                }
                Err(error) => say!("--- {:>8} {}: {error}", "", page.url.path),
            }
        }
        let why = ctx
            .err()
            .map_or(String::new(), |error| format!("; cut short: {error}"));
        say!(
            "{} pages, {good} of them good, {bytes} bytes in {:.1} s{why}",
            pages.len(),
            began.elapsed().as_secs_f64()
        );
        Ok(())
    })
}

/// Level by level: the pages that those of the last level link to, and that are new.
fn crawl(ctx: &Context, args: &Arc<Args>) -> Vec<Page> {
    let site = Arc::new(Mutex::new(Site {
        known: BTreeSet::from([args.start.clone()]),
        next: vec![args.start.clone()],
        pages: Vec::new(),
    }));
    for _ in 0..=args.depth {
        let level = std::mem::take(&mut site.lock().next);
        if level.is_empty() || ctx.err().is_some() {
            break;
        }
        fetch_all(ctx, args, level, &site);
    }
    std::mem::take(&mut site.lock().pages)
}

/// So many at a time. A page that fails is no reason to stop: the goroutines themselves never do.
fn fetch_all(ctx: &Context, args: &Arc<Args>, level: Vec<Url>, site: &Arc<Mutex<Site>>) {
    let group = Group::<io::Error>::new();
    group.set_limit(usize::from(args.parallel));
    for url in level {
        if ctx.err().is_some() {
            break;
        }
        let (ctx, args, site) = (ctx.clone(), Arc::clone(args), Arc::clone(site));
        // Waits here while as many as may are at it.
        group.go(move || {
            let (ctx, _cancel) = ctx.with_timeout(args.patience);
            let result = fetch(&ctx, &url, args.bytes);
            let mut site = site.lock();
            if let Ok((200, body)) = &result {
                site.note(&url, body, args.pages);
            }
            let result = result.map(|(status, body)| (status, body.len()));
            site.pages.push(Page { url, result });
            Ok(())
        });
    }
    drop(group.wait());
}

impl Site {
    /// Notes what a page links to, as long as no more than `max` are known.
    fn note(&mut self, from: &Url, body: &[u8], max: usize) {
        let text = String::from_utf8_lossy(body);
        for url in links(&text).filter_map(|link| from.join(&link)) {
            if self.known.len() >= max {
                return;
            }
            if self.known.insert(url.clone()) {
                self.next.push(url);
            }
        }
    }
}

/// One page: its status and its body, of which no more than `max` bytes are read.
fn fetch(ctx: &Context, url: &Url, max: usize) -> io::Result<(u16, Vec<u8>)> {
    let conn = Dialer::new().context(ctx).dial("tcp", &url.host)?;
    // Whatever it waits for ends with the context.
    with_context(ctx, &conn, |mut conn: &Conn| {
        write!(
            conn,
            "GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: corio-crawler\r\nAccept: */*\r\n\r\n",
            url.path, url.host
        )?;
        let mut input = Vec::new();
        let (status, head, length) = loop {
            if let Some(found) = head(&input)? {
                break found;
            }
            if input.len() >= MAX_HEAD || (&mut conn).take(4096).read_to_end(&mut input)? == 0 {
                return Err(io::Error::new(ErrorKind::InvalidData, "no HTTP response"));
            }
        };
        // HTTP/1.0: unless its length was said, the body ends with the connection.
        let wanted = length.map_or(max, |length| length.min(max));
        let left = (head + wanted).saturating_sub(input.len());
        conn.take(left as u64).read_to_end(&mut input)?;
        input.drain(..head);
        input.truncate(wanted);
        if length.is_some() && input.len() < wanted {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok((status, input))
    })
}

/// The status and the length of a response's head, if all of it is there; and that of the body, if it is said.
fn head(input: &[u8]) -> io::Result<Option<(u16, usize, Option<usize>)>> {
    let mut headers = [EMPTY_HEADER; 64];
    let mut response = Response::new(&mut headers);
    match response.parse(input) {
        Ok(Status::Complete(head)) => {
            let is_length = |name: &str| name.eq_ignore_ascii_case("content-length");
            let header = response.headers.iter().find(|h| is_length(h.name));
            let text = header.and_then(|header| str::from_utf8(header.value).ok());
            let length = text.and_then(|text| text.trim().parse().ok());
            Ok(response.code.map(|code| (code, head, length)))
        }
        Ok(Status::Partial) => Ok(None),
        Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error.to_string())),
    }
}
