//! Networks that lose, double, delay and reorder packets. What TCP delivers is intact all the same; of what
//! UDP delivers, each packet is.

use super::{Baseline, ENDLESS, LONG, Service, after, bytes, permitted, receive, send};
use crate::Scenario;
use crate::network::relay::{self, Weather};
use crate::network::{Far, NEAR, nft, veth};
use corio_net::{TcpStream, UdpSocket, copy_bidirectional};
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub(super) const SCENARIOS: &[(&str, Scenario)] = &[
    ("fault_loss", |_| loss()),
    ("fault_relay", |_| reordered_by_relay()),
    ("fault_netem", |_| netem()),
];

/// Some of the packets that `numgen` draws are lost, others come twice.
fn loss() {
    let far = permitted(Far::new());
    permitted(veth::join(&far));
    permitted(nft::spoil(&far, 5, 5));
    datagrams(&far, |way| {
        let hits = &nft::hits(&far)[match way {
            Way::Out => 1,
            Way::Back => 0,
        }];
        Fate {
            lost: hits[0],
            doubled: hits[1],
        }
    });
    traffic(&far);
    let hits = nft::hits(&far);
    println!("lost and doubled, near and far: {hits:?}");
    assert!(hits.iter().flatten().all(|&hits| hits > 0));
}

fn reordered_by_relay() {
    let far = permitted(Far::new());
    let weather = Weather {
        delay: Duration::from_millis(1),
        jitter: Duration::from_millis(3),
        lost: 1,
        doubled: 1,
    };
    let logs = permitted(relay::join(&far, weather));
    datagrams(&far, |way| {
        let log = &logs[way as usize];
        Fate {
            lost: log.lost.load(Ordering::Relaxed),
            doubled: log.doubled.load(Ordering::Relaxed),
        }
    });
    traffic(&far);
    println!("{logs:?}");
    for log in &logs {
        for count in [&log.lost, &log.doubled, &log.overtaken] {
            assert!(count.load(Ordering::Relaxed) > 0);
        }
    }
}

/// As [`reordered_by_relay`], by the kernel.
fn netem() {
    let far = permitted(Far::new());
    permitted(veth::join(&far));
    permitted(veth::netem(
        &far,
        "delay 1ms 3ms loss 1% duplicate 1% reorder 25%",
    ));
    traffic(&far);
}

/// Whereto datagrams go.
#[derive(Clone, Copy, Debug)]
enum Way {
    Out,
    Back,
}

/// What has happened to packets on one way.
struct Fate {
    lost: usize,
    doubled: usize,
}

/// Datagrams in both directions. What the network loses does not come, what it doubles comes twice, and
/// who waits for more gets to its deadline.
fn datagrams(far: &Far, fate: impl Fn(Way) -> Fate + Sync) {
    let baseline = Baseline::new();
    let (here, there) = (UdpSocket::bind((NEAR, 0)).unwrap(), far.udp());
    // Both in one direction each; the reader is a goroutine, then a thread.
    let fate = &fate;
    for (from, to, way) in [(&here, &there, Way::Out), (&there, &here, Way::Back)] {
        let receive = || datagrams_one_way(from, to, || fate(way));
        match way {
            Way::Out => corio::scope(|scope| scope.spawn(receive).join().unwrap()),
            Way::Back => receive(),
        }
    }
    drop((here, there));
    baseline.check();
}

fn datagrams_one_way(from: &UdpSocket, to: &UdpSocket, fate: impl Fn() -> Fate) {
    const COUNT: usize = 1000;
    /// They fit into the receiver's buffer, else it would lose some itself.
    const BURST: usize = 40;
    let (source, target) = (from.local_addr().unwrap(), to.local_addr().unwrap());
    let mut came = [0; COUNT];
    for burst in 0..COUNT / BURST {
        let sent = (burst + 1) * BURST;
        for number in burst * BURST..sent {
            let message = message(number);
            assert_eq!(from.send_to(&message, target).unwrap(), message.len());
        }
        let start = Instant::now();
        loop {
            let total: usize = came.iter().sum();
            to.set_read_deadline(after(Duration::from_millis(30)))
                .unwrap();
            let mut buffer = [0; 2000];
            match to.recv_from(&mut buffer) {
                Ok((len, peer)) => {
                    assert_eq!(peer, source);
                    let number = usize::from(u16::from_le_bytes([buffer[0], buffer[1]]));
                    assert_eq!(buffer[..len], message(number));
                    came[number] += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    // If more are on their way, they are late.
                    let Fate { lost, doubled } = fate();
                    if total == sent - lost + doubled {
                        break;
                    }
                    assert!(
                        total < sent - lost + doubled && start.elapsed() < LONG,
                        "{total} of {sent}, {lost} lost, {doubled} doubled"
                    );
                }
            }
        }
    }
    let Fate { lost, doubled } = fate();
    let times = |times| came.iter().filter(|&&came| came == times).count();
    println!(
        "datagrams: {} none, {} once, {} twice",
        times(0),
        times(1),
        times(2)
    );
    assert_eq!([times(0), times(2)], [lost, doubled]);
    assert!(lost > 0 && doubled > 0);
}

/// A number and what follows from it.
fn message(number: usize) -> Vec<u8> {
    let mut message = (number as u16).to_le_bytes().to_vec();
    message.extend(bytes(number as u64, 0, number as u64 % 1400));
    message
}

/// Several connections at once, data in both directions on each; every other one by way of a proxy, which
/// ends when its listener is closed.
fn traffic(far: &Far) {
    const CONNECTIONS: u64 = 6;
    const LEN: u64 = 1_500_000;
    let baseline = Baseline::new();
    let service = Service::on_goroutines(far.listen(), |stream: TcpStream| {
        both_ways(stream, 2, 1, LEN);
    });
    let (target, entry) = (service.addr, far.listen());
    let by_proxy = entry.local_addr().unwrap();
    let close_entry = entry.try_clone().unwrap();
    let proxy = corio::spawn(move || {
        let connections: Vec<_> = entry
            .incoming()
            .map(|client| corio::spawn(move || forward(&client.unwrap(), target)))
            .collect();
        for connection in connections {
            assert_eq!(connection.join().unwrap(), (LEN + 1, LEN));
        }
    });
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let addr = [target, by_proxy][number as usize % 2];
            let client = move || {
                let stream = TcpStream::connect(addr).unwrap();
                (&stream).write_all(&[super::ATTACK]).unwrap();
                both_ways(stream, 1, 2, LEN);
            };
            // Some threads in between.
            if number % 3 == 2 {
                super::Task::Thread(std::thread::spawn(client))
            } else {
                super::Task::Goroutine(corio::spawn(client))
            }
        })
        .collect();
    for client in clients {
        client.join();
        service.outcome();
    }
    close_entry.close().unwrap();
    proxy.join().unwrap();
    drop(close_entry);
    service.stop();
    baseline.check();
}

fn forward(client: &TcpStream, target: SocketAddr) -> (u64, u64) {
    let server = TcpStream::connect(target).unwrap();
    copy_bidirectional(client, &server).unwrap()
}

fn both_ways(stream: TcpStream, out: u64, back: u64, len: u64) {
    stream.set_deadline(after(LONG)).unwrap();
    let stream = Arc::new(stream);
    let writer = Arc::clone(&stream);
    let write = corio::spawn(move || {
        send(&*writer, out, len).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(receive(&*stream, back, ENDLESS).unwrap(), len);
    write.join().unwrap();
}
