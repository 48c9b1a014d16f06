//! The proxy's SOCKS 5: whatever a stranger sends is understood or refused, and nothing beyond it is read.

#[path = "../proxy/socks5.rs"]
mod socks5;

use proptest::prelude::*;
use socks5::{Reply, Target, greet, reply, request};
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a client sends, and what it gets.
struct Client {
    sends: Cursor<Vec<u8>>,
    got: Vec<u8>,
}

impl Client {
    fn new(bytes: &[u8]) -> Client {
        Client {
            sends: Cursor::new(bytes.to_vec()),
            got: Vec::new(),
        }
    }

    fn unread(&self) -> usize {
        self.sends.get_ref().len() - self.sends.position() as usize
    }
}

impl Read for Client {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Byte by byte, as slowly as it can come.
        let n = buf.len().min(1);
        self.sends.read(&mut buf[..n])
    }
}

impl Write for Client {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.got.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A request for this target, as clients write it.
fn written(command: u8, target: &Target) -> Vec<u8> {
    let mut bytes = vec![5, command, 0];
    let port = match target {
        Target::Ip(SocketAddr::V4(addr)) => {
            bytes.push(1);
            bytes.extend(addr.ip().octets());
            addr.port()
        }
        Target::Ip(SocketAddr::V6(addr)) => {
            bytes.push(4);
            bytes.extend(addr.ip().octets());
            addr.port()
        }
        Target::Domain(name, port) => {
            bytes.extend([3, name.len() as u8]);
            bytes.extend(name.as_bytes());
            *port
        }
    };
    bytes.extend(port.to_be_bytes());
    bytes
}

fn targets() -> impl Strategy<Value = Target> {
    prop_oneof![
        any::<(u32, u16)>().prop_map(|(ip, port)| Target::Ip((Ipv4Addr::from(ip), port).into())),
        any::<(u128, u16)>().prop_map(|(ip, port)| Target::Ip((Ipv6Addr::from(ip), port).into())),
        ("[a-zA-Z0-9._:-]{1,255}", any::<u16>())
            .prop_map(|(name, port)| Target::Domain(name, port)),
    ]
}

proptest! {
    #[test]
    fn anything_is_understood_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        login in proptest::option::of("[a-z]{1,9}:[a-z]{1,9}"),
    ) {
        let mut client = Client::new(&bytes);
        if greet(&mut client, login.as_deref()).is_ok() {
            let _ = request(&mut client);
        }
        prop_assert!(client.got.len() <= 4);
    }

    #[test]
    fn a_request_says_where_to_and_what_follows_is_left(
        target in targets(),
        rest in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut bytes = written(1, &target);
        bytes.extend(&rest);
        let mut client = Client::new(&bytes);
        prop_assert_eq!(request(&mut client).unwrap(), Ok(target));
        prop_assert_eq!(client.unread(), rest.len());
    }

    #[test]
    fn a_part_of_a_request_is_none(target in targets(), cut in any::<prop::sample::Index>()) {
        let bytes = written(1, &target);
        let part = &bytes[..cut.index(bytes.len())];
        let error = request(&mut Client::new(part)).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn other_commands_are_refused(target in targets(), command in any::<u8>()) {
        prop_assume!(command != 1);
        let answer = request(&mut Client::new(&written(command, &target))).unwrap();
        prop_assert_eq!(answer, Err(Reply::CommandNotSupported));
    }

    #[test]
    fn names_that_are_none_are_refused(name in "[a-z]{0,5}[ /\\\\@\u{0}-\u{1f}ä][a-z]{0,5}") {
        let target = Target::Domain(name, 80);
        let error = request(&mut Client::new(&written(1, &target))).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn passwords_are_compared_whole(name in "[a-z]{1,9}", password in "[a-z]{1,9}", other in "[a-z:]{0,9}") {
        let login = format!("{name}:{password}");
        for said in [&password, &other] {
            let mut bytes = vec![5, 1, 2, 1, name.len() as u8];
            bytes.extend(name.as_bytes());
            bytes.push(said.len() as u8);
            bytes.extend(said.as_bytes());
            let mut client = Client::new(&bytes);
            let good = greet(&mut client, Some(&login)).is_ok();
            prop_assert_eq!(good, *said == password);
            prop_assert_eq!(client.got, [5, 2, 1, u8::from(!good)]);
        }
    }
}

#[test]
fn replies_are_the_protocols() {
    let mut client = Client::new(&[]);
    let bound = "[::1]:258".parse().unwrap();
    reply(&mut client, Reply::Succeeded, Some(bound)).unwrap();
    let mut want = vec![5, 0, 0, 4];
    want.extend([0; 15]);
    want.extend([1, 1, 2]);
    assert_eq!(client.got, want);
    let refused = io::Error::from(ErrorKind::ConnectionRefused);
    assert_eq!(Reply::of(&refused) as u8, 5);
}
