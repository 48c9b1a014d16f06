//! Servers with little or nothing to do.

use crate::{Scenario, serve, word};
use corio_net::{TcpListener, TcpStream};
use std::io::Read;

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[("parked", parked), ("light", light)];

/// Goroutines parked on both ends of up to 5,000 connections, and one in `blocking`, reading standard
/// input.
fn parked(_: &[String]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // The listener's call has raised the soft limit.
    let pairs = 5000.min((descriptors() - 100) / 2);
    for _ in 0..pairs {
        let client = TcpStream::connect(addr).unwrap();
        for mut stream in [client, listener.accept().unwrap().0] {
            corio::spawn(move || {
                let end = stream.read(&mut [0]);
                unreachable!("nobody sends: {end:?}");
            });
        }
    }
    let reader = corio::spawn(|| corio::blocking(word));
    corio_tests::wait_until("all parked", || {
        let goroutines = corio::metrics().goroutines;
        goroutines.waiting == 2 * pairs && goroutines.running == 1
    });
    println!("pairs: {pairs}");
    assert_eq!(reader.join().unwrap(), None);
    std::process::exit(0);
}

fn descriptors() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes to a live `rlimit`.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(done, 0);
    limit.rlim_cur as usize
}

fn light(_: &[String]) {
    serve(TcpListener::bind("127.0.0.1:0").unwrap());
    assert_eq!(word(), None);
    std::process::exit(0);
}
