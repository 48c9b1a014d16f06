//! Connections that are short: a hundred thousand of them, one request each.

use super::{ATTACK, Baseline, Service, byte, peak};
use crate::Scenario;
use crate::network;
use corio_net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

pub(super) const SCENARIOS: &[(&str, Scenario)] = &[("fault_short", short)];

const LEN: usize = 32;

/// `clients` goroutines make so many connections together.
///
/// Who closes first keeps the connection's addresses for a minute (`TIME_WAIT`), so it goes to several of
/// loopback's addresses; in a network of its own, where that does not disturb others. Where that is not
/// permitted, every connection ends with a reset by the client.
fn short(args: &[String]) {
    let (connections, clients): (usize, usize) =
        (args[0].parse().unwrap(), args[1].parse().unwrap());
    let alone = network::isolate();
    if let Err(refused) = &alone {
        println!("all reset: {refused:?}");
    }
    let always_reset = alone.is_err();
    let baseline = Baseline::new();
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = Service::on_goroutines(listener, |mut stream: TcpStream| {
        let mut request = [0; LEN];
        stream.read_exact(&mut request).unwrap();
        request.reverse();
        stream.write_all(&request).unwrap();
        // The client's end.
        let end = stream.read(&mut [0]);
        if let Err(error) = &end {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        end.is_ok()
    });
    let run = |from: usize, to: usize| {
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                corio::spawn(move || {
                    for number in (from + client..to).step_by(clients) {
                        request(number, port, always_reset || number % 4 == 0);
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        (from..to).filter(|_| service.outcome()).count()
    };
    // What one round leaves, the others don't add to.
    let tenth = connections / 10;
    let mut ends = run(0, tenth);
    let before = peak();
    ends += run(tenth, connections);
    println!("ends: {ends}");
    println!("grown kB: {}", peak() - before);
    service.stop();
    baseline.check();
}

fn request(number: usize, port: u16, reset: bool) {
    let to = Ipv4Addr::new(127, 0, 0, 1 + (number % 16) as u8);
    let mut stream = TcpStream::connect(SocketAddr::from((to, port))).unwrap();
    let mut message: [u8; LEN] = std::array::from_fn(|at| byte(number as u64, at as u64));
    let mut request = [ATTACK; LEN + 1];
    request[1..].copy_from_slice(&message);
    stream.write_all(&request).unwrap();
    let mut answer = [0; LEN];
    stream.read_exact(&mut answer).unwrap();
    message.reverse();
    assert_eq!(answer, message);
    if reset {
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    }
}
