//! Sending to somebody who is not found: packets wait for a hardware address that never comes, until the
//! socket has no room for more.

use crate::Scenario;
use crate::fault::cast::everywhere;
use crate::fault::permitted;
use crate::network::{Far, NEAR, veth};
use corio_net::{UdpSocket, is_closed};
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[("udp_full", |_| full())];

/// In the network of the cable, but nobody's.
const NOBODY: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 77, 0, 99), 9);

/// A socket with as little room as there can be.
fn narrow() -> UdpSocket {
    let socket = UdpSocket::bind((NEAR, 0)).unwrap();
    socket.set_send_buffer_size(1).unwrap();
    socket
}

/// Sends until that fails. (Now and then the kernel gives up searching, and there is room again.)
fn send_all(socket: &UdpSocket) -> io::Error {
    loop {
        if let Err(error) = socket.send_to(&[0; 1000], NOBODY) {
            return error;
        }
    }
}

fn full() {
    let far = permitted(Far::new());
    permitted(veth::join(&far));
    // It asks for the address three times, each time waiting this long instead of a second.
    let interval = "/proc/sys/net/ipv4/neigh/near/retrans_time_ms";
    std::fs::write(interval, "100").expect("it is our network");
    everywhere(|cast| {
        let socket = narrow();
        let end = Instant::now() + Duration::from_millis(30);
        socket.set_write_deadline(Some(end)).unwrap();
        assert_eq!(send_all(&socket).kind(), ErrorKind::TimedOut);
        assert!(Instant::now() >= end);
        socket.set_write_deadline(None).unwrap();
        socket
            .set_write_timeout(Some(Duration::from_millis(30)))
            .unwrap();
        assert_eq!(send_all(&socket).kind(), ErrorKind::TimedOut);
        socket.set_write_timeout(None).unwrap();
        socket.set_nonblocking(true).unwrap();
        assert_eq!(send_all(&socket).kind(), ErrorKind::WouldBlock);
        socket.set_nonblocking(false).unwrap();

        let socket = Arc::new(socket);
        let theirs = Arc::clone(&socket);
        let sender = cast.spawn(move || send_all(&theirs));
        corio::sleep(Duration::from_millis(20));
        // Receiving is another matter.
        let addr = socket.local_addr().unwrap();
        narrow().send_to(b"hello", addr).unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 5);
        socket.set_write_deadline(Some(Instant::now())).unwrap();
        assert_eq!(sender.join().kind(), ErrorKind::TimedOut);
        socket.set_write_deadline(None).unwrap();

        let theirs = Arc::clone(&socket);
        let sender = cast.spawn(move || send_all(&theirs));
        corio::sleep(Duration::from_millis(20));
        socket.close().unwrap();
        assert!(is_closed(&sender.join()));
    });
    // Whoever is patient gets room when the kernel gives up.
    everywhere(|cast| {
        let socket = Arc::new(narrow());
        socket.set_nonblocking(true).unwrap();
        assert_eq!(send_all(&socket).kind(), ErrorKind::WouldBlock);
        socket.set_nonblocking(false).unwrap();
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let socket = Arc::clone(&socket);
                cast.spawn(move || socket.send_to(&[0; 1000], NOBODY).unwrap())
            })
            .collect();
        for sender in senders {
            assert_eq!(sender.join(), 1000);
        }
    });
}
