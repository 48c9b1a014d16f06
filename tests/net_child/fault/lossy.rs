//! Networks that lose, double, delay and reorder packets. What TCP delivers is intact all the same; of what
//! UDP delivers, each packet is.

use super::{Baseline, ENDLESS, LONG, Service, after, permitted, receive, send};
use crate::Scenario;
use crate::network::relay::{self, Weather};
use crate::network::{Far, nft, veth};
use corio_net::TcpStream;
use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

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
    traffic(&far);
    let hits = nft::hits(&far);
    println!("lost and doubled, near and far: {hits:?}");
    assert!(hits.len() == 4 && hits.iter().all(|&hits| hits > 0));
}

fn reordered_by_relay() {
    let far = permitted(Far::new());
    let weather = Weather {
        delay: Duration::from_millis(1),
        jitter: Duration::from_millis(3),
        lost: 1,
        doubled: 1,
    };
    let log = permitted(relay::join(&far, weather));
    traffic(&far);
    println!("{log:?}");
    for count in [&log.carried, &log.lost, &log.doubled, &log.overtaken] {
        assert!(count.load(Ordering::Relaxed) > 0);
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

/// Several connections at once, data in both directions on each.
fn traffic(far: &Far) {
    const CONNECTIONS: u64 = 6;
    const LEN: u64 = 1_500_000;
    let baseline = Baseline::new();
    let service = Service::on_goroutines(far.listen(), |stream: TcpStream| {
        both_ways(stream, 2, 1, LEN);
    });
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let addr = service.addr;
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
    service.stop();
    baseline.check();
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
