//! What is answered to which path.

use crate::debug::http::{self, Input, JSON, Next, Request, Response, Status, TEXT};
use crate::debug::json::Json;
use crate::debug::{Shared, metrics, state};
use crate::network::Conn;
use crate::server::Connection;
use corio::{Dump, GoroutineDump, Group};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The live page.
const PAGE: &str = include_str!("page.html");

/// The longest trace, in seconds.
const MAX_TRACE: f64 = 300.0;

/// How many numbers of goroutines are listed of a group, in JSON.
const IDS: usize = 20;

/// Serves one connection.
pub(super) fn serve(conn: &mut Connection, shared: &Shared) -> io::Result<()> {
    let conn = &*conn;
    let mut input = Input::new();
    loop {
        if input.is_empty() && !conn.wait_request()? {
            return Ok(());
        }
        let request = match input.next(conn, shared.any_host)? {
            Next::Request(request) => request,
            Next::Refuse(status, why) => {
                http::respond(conn, &Response::line(status, why), false, false)?;
                return http::finish(conn);
            }
            Next::End => return Ok(()),
        };
        let keep_alive = request.keep_alive && !conn.is_shutting_down();
        let response = if request.path == "/debug/trace" {
            match trace(conn, &request)? {
                Some(response) => response,
                None => return http::finish(conn),
            }
        } else {
            answer(&request, shared)
        };
        http::respond(conn, &response, request.head_only, keep_alive)?;
        if !keep_alive {
            return http::finish(conn);
        }
    }
}

fn answer(request: &Request, shared: &Shared) -> Response {
    match &request.path[..] {
        "/" => Response::new("text/html; charset=utf-8", PAGE),
        "/debug/goroutines" => goroutines(request),
        "/debug/state" => Response::new(JSON, state::json(&shared.servers())),
        "/metrics" => match metrics::text(shared.servers()) {
            Ok(text) => Response::new(metrics::KIND, text),
            Err(error) => Response::line(Status::InternalError, error.to_string()),
        },
        "/healthz" => Response::line(Status::Ok, "ok"),
        "/readyz" => match readiness(shared) {
            Ok(()) => Response::line(Status::Ok, "ready"),
            Err(why) => Response::line(Status::Unavailable, why),
        },
        _ => Response::line(
            Status::NotFound,
            "not found; there are / /debug/goroutines /debug/trace?seconds=5 /debug/state /metrics /healthz /readyz",
        ),
    }
}

fn readiness(shared: &Shared) -> Result<(), String> {
    if let Some(server) = shared.servers().iter().find(|s| s.is_shutting_down()) {
        return Err(format!("server {:?} is shutting down", server.name()));
    }
    match &shared.ready {
        None => Ok(()),
        Some(ready) => catch_unwind(AssertUnwindSafe(ready))
            .unwrap_or_else(|_| Err("the hook has panicked".into())),
    }
}

fn goroutines(request: &Request) -> Response {
    let longest = match request.parameter("longest").map(str::parse::<usize>) {
        None => None,
        Some(Ok(n)) => Some(n),
        Some(Err(_)) => return Response::line(Status::BadRequest, "longest: a number"),
    };
    let is_json = match request.parameter("format") {
        None | Some("text") => false,
        Some("json") => true,
        Some(_) => return Response::line(Status::BadRequest, "format: text or json"),
    };
    let dump = corio::dump();
    if let Some(n) = longest {
        let mut waiting: Vec<&GoroutineDump> = dump.goroutines().iter().collect();
        waiting.retain(|g| g.waited().is_some());
        waiting.sort_by_key(|g| std::cmp::Reverse(g.waited()));
        waiting.truncate(n);
        return list(&waiting, is_json);
    }
    if request.flag("full") {
        return list(&dump.goroutines().iter().collect::<Vec<_>>(), is_json);
    }
    grouped(&dump, is_json)
}

fn list(goroutines: &[&GoroutineDump], is_json: bool) -> Response {
    if is_json {
        let text = Json::list(|j| {
            for g in goroutines {
                j.object_item(|j| write_goroutine(j, g));
            }
        });
        return Response::new(JSON, text);
    }
    let texts: Vec<String> = goroutines.iter().map(|g| g.to_string()).collect();
    Response::new(TEXT, texts.join("\n"))
}

fn grouped(dump: &Dump, is_json: bool) -> Response {
    let groups = dump.groups();
    if !is_json {
        return Response::new(TEXT, groups.to_string());
    }
    let text = Json::list(|j| {
        for group in &groups {
            j.object_item(|j| write_group(j, group));
        }
    });
    Response::new(JSON, text)
}

fn write_group(j: &mut Json, group: &Group<'_>) {
    j.plain("count", group.count());
    j.items("ids", |j| {
        group.ids().take(IDS).for_each(|id| j.number_item(id))
    });
    let waited = group.waited();
    j.maybe("waited_min", waited.map(|(min, _)| min.as_secs_f64()));
    j.maybe("waited_max", waited.map(|(_, max)| max.as_secs_f64()));
    j.member("example", |j| write_goroutine(j, group.example()));
}

fn write_goroutine(j: &mut Json, g: &GoroutineDump) {
    j.plain("id", g.id());
    j.maybe_text("name", g.name());
    j.text("status", &format!("{:?}", g.status()).to_lowercase());
    j.text("reason", &g.reason().to_string());
    j.maybe_text("object", g.object());
    j.maybe("waited", g.waited().map(|waited| waited.as_secs_f64()));
    j.maybe("m", g.thread().map(|thread| thread.m()));
    let at = g.spawned_at().map(ToString::to_string);
    j.maybe_text("spawned_at", at.as_deref());
    j.items("frames", |j| {
        for frame in g.shown_frames() {
            j.object_item(|j| {
                j.maybe_text("function", frame.function());
                j.maybe_text("file", frame.file());
                j.maybe("line", frame.line());
            });
        }
    });
}

/// Records a trace, and sends it meanwhile. `None`: it was sent; otherwise the answer is why not.
fn trace(conn: &Connection, request: &Request) -> io::Result<Option<Response>> {
    let seconds = request.parameter("seconds").unwrap_or("5");
    let Some(seconds) = seconds
        .parse()
        .ok()
        .filter(|s| (0.001..=MAX_TRACE).contains(s))
    else {
        let why = format!("seconds: from 0.001 to {MAX_TRACE}");
        return Ok(Some(Response::line(Status::BadRequest, why)));
    };
    if request.head_only {
        // Nothing is recorded for nobody.
        let response = Response::new(JSON, Vec::new());
        return Ok(Some(response));
    }
    let download = Download {
        conn: conn.try_clone()?,
        head: Some(http::file_head(JSON, "corio-trace.json", request.chunks)),
        chunks: request.chunks,
    };
    match corio::trace::start(BufWriter::with_capacity(1 << 16, download)) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            let why = "a trace is running; there can be one at a time";
            return Ok(Some(Response::line(Status::Conflict, why)));
        }
        Err(error) => {
            let why = format!("a trace can't be started: {error}");
            return Ok(Some(Response::line(Status::InternalError, why)));
        }
    }
    let running = Running;
    // Ends early when the pages are shut down.
    let _ = conn
        .context()
        .done()
        .recv_timeout(Duration::from_secs_f64(seconds));
    running.stop()?;
    if request.chunks {
        let mut conn: &Conn = conn;
        conn.write_all(b"0\r\n\r\n")?;
    }
    Ok(None)
}

/// A trace of ours that is running: it is stopped in any case.
struct Running;

impl Running {
    fn stop(self) -> io::Result<()> {
        std::mem::forget(self);
        corio::trace::stop().map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever unwinds through here has a failure to tell already.
        let _ = corio::trace::stop();
    }
}

/// Where a trace goes. The answer's head is sent with its first bytes, when it is certain that there is a trace.
struct Download {
    conn: Conn,
    head: Option<Vec<u8>>,
    chunks: bool,
}

impl Write for Download {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            // It would be the last chunk.
            return Ok(0);
        }
        let mut output = self.head.take().unwrap_or_default();
        if self.chunks {
            output.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        }
        output.extend_from_slice(bytes);
        if self.chunks {
            output.extend_from_slice(b"\r\n");
        }
        self.conn.write_all(&output)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
