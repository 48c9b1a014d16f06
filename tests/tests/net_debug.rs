//! Debug pages: each path, what is refused, and what becomes of it all when they are shut down.

mod net_server_support;

use corio::ProcState;
use corio::testing::assert_no_leaks;
use corio_net::debug::{self, Pages, PagesHandle};
use corio_net::{Connection, Server};
use net_server_support::{LONG, start};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Asks by a plain thread's socket, and returns all that is answered.
fn ask(pages: &PagesHandle, request: &str) -> String {
    let mut stream = TcpStream::connect(pages.local_addr()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(pages: &PagesHandle, path: &str) -> (u16, String) {
    let answer = ask(pages, &format!("GET {path} HTTP/1.0\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[test]
fn each_path_answers() {
    let pages = debug::serve("127.0.0.1:0").unwrap();
    assert!(get(&pages, "/").1.contains("<title>corio"));
    assert_eq!(get(&pages, "/healthz"), (200, "ok\n".into()));
    assert_eq!(get(&pages, "/readyz"), (200, "ready\n".into()));
    assert_eq!(get(&pages, "/nothing").0, 404);
    assert!(get(&pages, "/debug/goroutines").1.contains("goroutine"));
    for path in [
        "/debug/state",
        "/debug/goroutines?format=json",
        "/debug/goroutines?full=1&format=json",
        "/debug/goroutines?longest=3&format=json",
        "/debug/trace?seconds=0.01",
    ] {
        let (status, body) = get(&pages, path);
        assert_eq!(status, 200, "{path}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap_or_else(|e| panic!("{path}: {e}"));
    }
    let (status, text) = get(&pages, "/metrics");
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n") && text.contains("corio_polls_total "));
    for path in ["/debug/trace?seconds=0", "/debug/goroutines?format=x"] {
        assert_eq!(get(&pages, path).0, 400, "{path}");
    }
    pages.shutdown();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let pages = debug::serve("127.0.0.1:0").unwrap();
    for (request, status) in [
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "403"),
        ("POST / HTTP/1.0\r\n\r\n", "405"),
        ("GET / HTTP/1.0\r\nContent-Length: 9\r\n\r\n", "413"),
    ] {
        let answer = ask(&pages, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let long = format!("GET /{} HTTP/1.0\r\n\r\n", "x".repeat(8192));
    assert!(ask(&pages, &long).starts_with("HTTP/1.1 431 "));
    let head = ask(&pages, "HEAD /healthz HTTP/1.0\r\n\r\n");
    assert!(head.contains("Content-Length: 3\r\n") && head.ends_with("\r\n\r\n"));
    pages.shutdown();
}

#[test]
fn connections_are_used_again() {
    let pages = debug::serve("127.0.0.1:0").unwrap();
    let one = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";
    let answers = ask(&pages, &format!("{one}\r\n{one}Connection: close\r\n\r\n"));
    assert_eq!(answers.matches("200 OK").count(), 2, "{answers}");
    pages.shutdown();
}

#[test]
fn others_are_let_in_only_if_it_is_said() {
    let error = debug::serve("0.0.0.0:0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("allow_remote"), "{error}");
    let pages = Pages::new().allow_remote(true).serve("0.0.0.0:0").unwrap();
    pages.shutdown();
}

#[test]
fn readiness_ends_with_a_server_and_by_the_hook() {
    let pages = debug::serve("127.0.0.1:0").unwrap();
    let (server, _) = start(Server::new(|_: &mut Connection| Ok(())).name("api"));
    pages.watch(&server);
    assert_eq!(get(&pages, "/readyz").0, 200);
    assert!(get(&pages, "/metrics").1.contains("server=\"api\""));
    server.shutdown(LONG);
    let (status, why) = get(&pages, "/readyz");
    assert!(status == 503 && why.contains("api"), "{status} {why}");
    pages.shutdown();
    let cold = Pages::new().ready(|| Err("cold".into()));
    let cold = cold.serve("127.0.0.1:0").unwrap();
    assert_eq!(get(&cold, "/readyz"), (503, "cold\n".into()));
    cold.shutdown();
}

#[test]
fn pages_are_no_leaks() {
    let pages = assert_no_leaks(|| debug::serve("127.0.0.1:0").unwrap());
    assert_eq!(get(&pages, "/healthz").0, 200);
    pages.shutdown();
    TcpStream::connect(pages.local_addr()).unwrap_err();
}

#[test]
fn pages_answer_while_all_ps_are_hogged() {
    let pages = debug::serve("127.0.0.1:0").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let procs = corio::metrics().procs.len();
    let hogs: Vec<_> = (0..2 * procs)
        .map(|_| {
            let stop = Arc::clone(&stop);
            corio::spawn(move || while !stop.load(Ordering::Relaxed) {})
        })
        .collect();
    assert_eq!(get(&pages, "/healthz").0, 200);
    assert_eq!(get(&pages, "/debug/state").0, 200);
    stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
    pages.shutdown();
}

#[test]
fn metrics_tell_which_p_and_m_run_a_goroutine() {
    let found = corio::spawn(|| {
        let (me, start) = (corio::current().id(), Instant::now());
        // It may be moved between the two looks; sooner or later it is not.
        while start.elapsed() < LONG {
            let metrics = corio::metrics();
            let p = metrics.procs.iter().find(|p| p.goroutine == Some(me));
            let m = metrics.ms.iter().find(|m| m.goroutine == Some(me));
            if let (Some(p), Some(m)) = (p, m)
                && p.m == Some(m.id)
                && m.p == Some(p.id)
                && p.state == ProcState::User
            {
                return true;
            }
        }
        false
    });
    assert!(found.join().unwrap());
}
