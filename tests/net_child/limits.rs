//! A process that runs out of descriptors.

use crate::{Scenario, word};
use corio_net::{TcpListener, TcpStream};
use std::fs::File;
use std::io::{self, Read, Write};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[("emfile", emfile), ("emfile_first", first)];

/// Leaves no descriptor free.
pub(crate) fn exhaust() -> Vec<File> {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => {
                assert_out_of_descriptors(error);
                return files;
            }
        }
    }
}

pub(crate) fn lower_limit() {
    let limit = libc::rlimit {
        rlim_cur: 64,
        rlim_max: 64,
    };
    // SAFETY: the kernel reads a live `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

fn assert_out_of_descriptors(error: io::Error) {
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
}

/// The listener goes on once there are descriptors again, other connections all the time; on a
/// goroutine and on a plain thread.
fn emfile(args: &[String]) {
    lower_limit();
    let body = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        println!("port: {}", addr.port());
        let mut first = listener.accept().unwrap().0;
        let files = exhaust();
        // Each time: the connection stays in the queue, and there is no further event for it.
        for _ in 0..3 {
            assert_out_of_descriptors(listener.accept().unwrap_err());
        }
        assert_out_of_descriptors(TcpStream::connect(addr).unwrap_err());
        assert_out_of_descriptors(TcpListener::bind("127.0.0.1:0").unwrap_err());
        let mut byte = [0];
        first.read_exact(&mut byte).unwrap();
        first.write_all(&byte).unwrap();
        drop(files);
        // The connections that could not be accepted are still there.
        for _ in 0..3 {
            let mut stream = listener.accept().unwrap().0;
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
        }
        println!("done: 0");
    };
    if args[0] == "goroutine" {
        corio::spawn(body).join().unwrap();
    } else {
        body();
    }
    assert_eq!(word(), None);
}

/// No descriptor for the poller: an error, and no harm done.
fn first(_: &[String]) {
    lower_limit();
    for _ in 0..3 {
        let files = exhaust();
        assert_out_of_descriptors(TcpListener::bind("127.0.0.1:0").unwrap_err());
        drop(files);
        // Enough for the listener's socket, but not for all that the poller needs.
        for spare in 1..5 {
            let mut files = exhaust();
            files.truncate(files.len() - spare);
            let _ = TcpListener::bind("127.0.0.1:0");
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let client = corio::spawn(move || TcpStream::connect(addr).unwrap().write_all(b"x"));
    let mut text = String::new();
    listener
        .accept()
        .unwrap()
        .0
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "x");
    client.join().unwrap().unwrap();
    println!("done: 0");
}
