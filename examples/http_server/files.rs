//! Files of one directory: which one is meant, whether the client has it already, and which part it wants.

use crate::request::{BAD_REQUEST, Head, Refusal};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const NOT_FOUND: Refusal = "404 Not Found";

/// What was asked for, as far as the head says.
pub(crate) struct Wanted {
    /// Relative to the root; no part of it leads upwards.
    path: PathBuf,
    is_directory: bool,
    if_none_match: Option<String>,
    if_modified_since: Option<SystemTime>,
    range: Option<String>,
    if_range: Option<String>,
}

/// What is to be done about it.
pub(crate) enum Found {
    /// The client's copy is as good.
    NotModified(Tags),
    /// It is a directory, and is called by a name that ends in a slash.
    Directory,
    /// No byte of it lies in the range that is wanted; it has so many.
    NoSuchRange(u64),
    Part {
        file: File,
        kind: &'static str,
        tags: Tags,
        range: Range<u64>,
        length: u64,
    },
}

/// What names a version of a file.
pub(crate) struct Tags {
    pub(crate) etag: String,
    pub(crate) modified: String,
}

impl Wanted {
    pub(crate) fn new(head: &Head<'_>) -> Result<Wanted, Refusal> {
        let path = decode(head.path).ok_or(BAD_REQUEST)?;
        let mut relative = PathBuf::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            // Not only those that lead upwards: what begins with a dot is hidden.
            if part.starts_with('.') || part.contains(['\\', '\0']) {
                return Err(NOT_FOUND);
            }
            relative.push(part);
        }
        let date = |text: &str| httpdate::parse_http_date(text).ok();
        Ok(Wanted {
            path: relative,
            is_directory: path.ends_with('/'),
            if_none_match: head.if_none_match.map(str::to_owned),
            if_modified_since: head.if_modified_since.and_then(date),
            range: head.range.map(str::to_owned),
            if_range: head.if_range.map(str::to_owned),
        })
    }

    /// Looks for it below `root`, which is an absolute path without links. What a link leads out of there to is not
    /// found. Blocks the thread.
    pub(crate) fn find(&self, root: &Path) -> Result<Found, Refusal> {
        let missing = |_: io::Error| NOT_FOUND;
        let mut path = root.join(&self.path).canonicalize().map_err(missing)?;
        if path.is_dir() {
            if !self.is_directory {
                return Ok(Found::Directory);
            }
            path = path.join("index.html").canonicalize().map_err(missing)?;
        } else if self.is_directory {
            return Err(NOT_FOUND);
        }
        if !path.starts_with(root) {
            return Err(NOT_FOUND);
        }
        let file = File::open(&path).map_err(missing)?;
        let meta = file.metadata().map_err(missing)?;
        if !meta.is_file() {
            return Err(NOT_FOUND);
        }
        let (length, modified) = (meta.len(), meta.modified().unwrap_or(UNIX_EPOCH));
        let since = modified
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let tags = Tags {
            etag: format!("\"{:x}-{length:x}\"", since.as_nanos()),
            modified: httpdate::fmt_http_date(modified),
        };
        if self.is_known(&tags, since) {
            return Ok(Found::NotModified(tags));
        }
        let range = match self.part(&tags, length) {
            Some(Ok(range)) => range,
            Some(Err(())) => return Ok(Found::NoSuchRange(length)),
            None => 0..length,
        };
        let kind = kind(&path);
        Ok(Found::Part {
            file,
            kind,
            tags,
            range,
            length,
        })
    }

    /// Has the client this version? A tag that was asked for goes before a date.
    fn is_known(&self, tags: &Tags, modified: Duration) -> bool {
        if let Some(known) = &self.if_none_match {
            let same = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == tags.etag;
            return known.split(',').any(|tag| same(tag.trim()));
        }
        // Dates have whole seconds.
        self.if_modified_since.is_some_and(|since| {
            let since = since.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
            modified.as_secs() <= since.as_secs()
        })
    }

    /// The one range that is wanted, if it is one that is understood, and of this version.
    fn part(&self, tags: &Tags, length: u64) -> Option<Result<Range<u64>, ()>> {
        if self.if_range.as_ref().is_some_and(|tag| *tag != tags.etag) {
            return None;
        }
        let (from, to) = self
            .range
            .as_ref()?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let number = |text: &str| {
            let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            good.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        let range = match (from, to) {
            // The last so many.
            ("", to) => length.saturating_sub(number(to)?)..length,
            (from, "") => number(from)?..length,
            (from, to) => number(from)?..number(to)?.saturating_add(1).min(length),
        };
        let turned = from.len() * to.len() > 0 && number(from)? > number(to)?;
        if turned {
            return None;
        }
        Some(if range.is_empty() { Err(()) } else { Ok(range) })
    }
}

/// `%41` is `A`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let value = |digit: u8| char::from(digit).to_digit(16);
            bytes.push((value(digits[0])? * 16 + value(digits[1])?) as u8);
            rest = after;
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("wasm") => "application/wasm",
        Some("pdf") => "application/pdf",
        _ => "application/octet-stream",
    }
}
