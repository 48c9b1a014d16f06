//! A server that has fewer descriptors than clients.

use super::{Baseline, Service, check_echo};
use crate::{Scenario, word};
use corio::sync::RwLock;
use corio_net::{TcpListener, TcpStream};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

pub(super) const SCENARIOS: &[(&str, Scenario)] =
    &[("fault_few_descriptors", few), ("fault_clients", clients)];

/// Descriptors that the server may have.
const FEW: libc::rlim_t = 128;

/// It runs out of them, says so, and goes on when there are some again.
fn few(_: &[String]) {
    let baseline = Baseline::new();
    let limit = libc::rlimit {
        rlim_cur: FEW,
        rlim_max: FEW,
    };
    // SAFETY: the kernel reads a live `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    println!("port: {}", listener.local_addr().unwrap().port());
    let service = Service::on_goroutines(listener, |_| ());
    corio_tests::wait_until("out of descriptors", || service.refused() > 0);
    println!("out: {}", service.refused());
    assert_eq!(word().as_deref(), Some("served"));
    service.stop();
    baseline.check();
}

/// Well-behaved clients, so many at once. Who is served keeps its connection up to the word `release`.
fn clients(args: &[String]) {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, args[0].parse().unwrap()));
    let baseline = Baseline::new();
    // Readers pass once the writer is gone.
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write();
    let clients: Vec<_> = (0..args[1].parse().unwrap())
        .map(|_| {
            let gate = Arc::clone(&gate);
            corio::spawn(move || {
                let stream = TcpStream::connect(addr).unwrap();
                check_echo(&stream, 30_000);
                drop(gate.read());
            })
        })
        .collect();
    assert_eq!(word().as_deref(), Some("release"));
    drop(closed);
    let served = clients.into_iter().map(|client| client.join().unwrap());
    println!("served: {}", served.count());
    baseline.check();
}
