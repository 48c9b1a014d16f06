//! Names of Unix sockets: paths and what becomes of them, abstract ones, ones that the system chooses.

mod net_support;

use corio_net::{UnixListener, UnixStream};
use net_support::*;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

#[test]
fn with_other_settings() {
    under_other_settings("with_other_settings");
}

#[test]
fn abstract_names_reach_their_listener_and_leave_nothing() {
    everywhere(|cast| {
        let addr = abstract_name();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        let name = addr.as_abstract_name();
        assert_eq!(listener.local_addr().unwrap().as_abstract_name(), name);
        assert_kind(UnixListener::bind_addr(&addr), ErrorKind::AddrInUse);
        // There is nothing to remove.
        listener.set_unlink_on_close(true).unwrap();
        let server = cast.spawn(move || {
            listener.accept().unwrap().0.write_all(b"x").unwrap();
            listener.close().unwrap();
        });
        let mut client = UnixStream::connect_addr(&addr).unwrap();
        assert_eq!(client.peer_addr().unwrap().as_abstract_name(), name);
        client.read_exact(&mut [0]).unwrap();
        server.join();
        assert_kind(
            UnixStream::connect_addr(&addr),
            ErrorKind::ConnectionRefused,
        );
        drop(UnixListener::bind_addr(&addr).unwrap());
    });
}

#[test]
fn accept_tells_the_name_that_a_peer_has_bound() {
    let directory = Directory::new();
    let listener = UnixListener::bind(directory.join("listener")).unwrap();
    let to = socket2::SockAddr::unix(directory.join("listener")).unwrap();
    let from = directory.join("client");
    let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    client
        .bind(&socket2::SockAddr::unix(&from).unwrap())
        .unwrap();
    client.connect(&to).unwrap();
    let (_, peer) = listener.accept().unwrap();
    assert_eq!(peer.as_pathname(), Some(&*from));
    // A path without a zero at its end can't be in a `SocketAddr`; it is no reason to refuse the peer.
    let mut long = directory.join("").into_os_string();
    while long.len() < 108 {
        long.push("x");
    }
    let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    bind_raw(&client, long.as_encoded_bytes());
    client.connect(&to).unwrap();
    assert!(listener.accept().unwrap().1.is_unnamed());
}

/// Binds to a path of exactly 108 bytes.
fn bind_raw(socket: &socket2::Socket, path: &[u8]) {
    // SAFETY: all zero is an address without a name.
    let mut addr: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    addr.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, &from) in addr.sun_path.iter_mut().zip(path) {
        *to = from as libc::c_char;
    }
    let len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the address is alive and as long as is said.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const addr).cast(), len) };
    assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn names_that_are_none_are_refused() {
    let directory = Directory::new();
    let long = directory.join("x".repeat(108));
    for path in [long, directory.join("a\0b"), "\0a".into()] {
        assert_kind(UnixListener::bind(&path), ErrorKind::InvalidInput);
        assert_kind(UnixStream::connect(&path), ErrorKind::InvalidInput);
    }
    assert_kind(
        UnixStream::connect(directory.join("none")),
        ErrorKind::NotFound,
    );
    let file = directory.join("file");
    std::fs::write(&file, b"").unwrap();
    assert_kind(UnixStream::connect(&file), ErrorKind::ConnectionRefused);
    assert_kind(UnixListener::bind(&file), ErrorKind::AddrInUse);
}

#[test]
fn a_path_is_left_behind_unless_it_is_to_be_removed() {
    everywhere(|_| {
        let directory = Directory::new();
        let path = directory.join("socket");
        // As with std.
        drop(UnixListener::bind(&path).unwrap());
        assert_kind(UnixStream::connect(&path), ErrorKind::ConnectionRefused);
        assert_kind(UnixListener::bind(&path), ErrorKind::AddrInUse);
        std::fs::remove_file(&path).unwrap();

        // Closed; and the path is somebody else's from then on.
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_unlink_on_close(true).unwrap();
        listener.close().unwrap();
        assert!(!path.exists());
        let next = UnixListener::bind(&path).unwrap();
        assert_closed(listener.close());
        assert_closed(listener.set_unlink_on_close(true));
        drop(listener);
        assert!(path.exists());

        // With the last handle, wherever it was asked for.
        let clone = next.try_clone().unwrap();
        clone.set_unlink_on_close(true).unwrap();
        drop(clone);
        assert!(path.exists());
        drop(next);
        assert!(!path.exists());

        // Decided otherwise; and already removed by somebody else.
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_unlink_on_close(true).unwrap();
        listener.set_unlink_on_close(false).unwrap();
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_unlink_on_close(true).unwrap();
        std::fs::remove_file(&path).unwrap();
        listener.close().unwrap();

        // It goes on living as std's, or came from there.
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_unlink_on_close(true).unwrap();
        let listener = listener.into_std().unwrap();
        assert!(path.exists());
        let listener = UnixListener::try_from(listener).unwrap();
        listener.set_unlink_on_close(true).unwrap();
        drop(listener);
        assert!(!path.exists());
    });
}

/// Does nothing unless [`a_relative_path_is_removed_where_it_was_made`] runs it, alone in a process.
#[test]
fn alone_with_a_relative_path() {
    if !is_alone() {
        return;
    }
    let made = std::path::absolute("relative").unwrap();
    let listener = UnixListener::bind("relative").unwrap();
    listener.set_unlink_on_close(true).unwrap();
    std::env::set_current_dir("/").unwrap();
    assert!(made.exists());
    listener.close().unwrap();
    assert!(!made.exists());
}

#[test]
fn a_relative_path_is_removed_where_it_was_made() {
    let directory = Directory::new();
    run_alone("alone_with_a_relative_path", &directory.join(""));
}

#[test]
fn no_name_lets_the_system_choose_one() {
    everywhere(|_| {
        let listener = UnixListener::bind("").unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(addr.as_abstract_name().unwrap().len(), 5);
        let _client = UnixStream::connect_addr(&addr).unwrap();
        listener.accept().unwrap();
    });
}

#[test]
fn an_abstract_name_may_be_as_long_as_a_path() {
    let name = |len: usize| {
        let mut name = format!("corio-{}-long-", std::process::id());
        name.push_str(&"x".repeat(len - name.len()));
        SocketAddr::from_abstract_name(name)
    };
    let addr = name(107).unwrap();
    let listener = UnixListener::bind_addr(&addr).unwrap();
    assert_eq!(
        listener.local_addr().unwrap().as_abstract_name(),
        addr.as_abstract_name()
    );
    let client = UnixStream::connect_addr(&addr).unwrap();
    assert_eq!(
        client.peer_addr().unwrap().as_abstract_name(),
        addr.as_abstract_name()
    );
    assert_kind(name(108), ErrorKind::InvalidInput);
}
